/* Read and check the arguments of the functions that Python calls.

   Input: Python objects. Output: arrays whose type, size and layout are what the computation reads
   and writes, and sizes within their bounds. Whatever does not fit raises ValueError (TypeError for
   an object of another kind) naming the argument, its value and what was expected. With the GIL
   held. */
#ifndef SPARK_ARGUMENTS_H
#define SPARK_ARGUMENTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <limits.h>

/* The kinds of numbers in an array, as the buffer protocol writes them. */
enum { FLOAT32 = 'f', UINT32 = 'I' };

typedef struct {
    const char *name;
    char type;      /* FLOAT32 or UINT32 */
    char is_output; /* whether it is written */
} array_spec;

/* A row-major array without gaps. */
typedef struct {
    const char *name;
    Py_buffer view;
    void *data;
    long size; /* numbers, over all axes */
} array;

/* Open `count` arrays that meet their specs. Returns 0, or -1 with an exception and none open. */
int arrays_open(array *arrays, const array_spec *specs, int count, PyObject *const *objects);
void arrays_close(array *arrays, int count);

/* Check that an array holds so many numbers; `meaning` tells in the message what they are. */
int array_expect(const array *a, long size, const char *meaning);

/* Check that an array holds rows of `columns` > 0 numbers. */
int array_expect_rows(const array *a, int columns);

/* Close the arrays of a call and return its result: NULL if an exception is set, MemoryError if
   `failed`, else None. */
PyObject *arrays_finish(array *arrays, int count, int failed);

/* A whole number between bounds, for "O&" in PyArg_ParseTuple with `read_number`. */
typedef struct {
    const char *name;
    int min, max, value;
} number;

int read_number(PyObject *object, void *into);

/* Raise ValueError "NAME is VALUE, expected EXPECTATION" and return -1. */
int refuse(const char *name, long value, const char *expectation);

/* Multiply sizes ≥ 0; LONG_MAX, the size of no array, where the product does not fit. */
long times(long a, long b);

#endif
