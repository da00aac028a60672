/* Packed matrices and sampling as Python calls them.

   Input: arrays, and matrices as capsules. Output: a capsule, an array that is written, or an
   index. Every shape is checked here, before the GIL is released. */
#include "matrix_python.h"

#include <stdlib.h>

#include "arguments.h"
#include "decode_kernels.h"
#include "decode_matrix.h"
#include "decode_sampling.h"

void *get_capsule(PyObject *object, const char *kind, const char *name) {
    if (PyCapsule_IsValid(object, kind)) return PyCapsule_GetPointer(object, kind);
    PyErr_Format(PyExc_TypeError, "%s: expected a %s, not %s", name, kind,
                 Py_TYPE(object)->tp_name);
    return NULL;
}

static void drop_matrix(PyObject *capsule) {
    matrix *m = PyCapsule_GetPointer(capsule, MATRIX);
    matrix_free(m);
    free(m);
}

/* Pack weight, scales and biases; NULL with an exception. */
static matrix *new_matrix(const array *a, int rows, int columns, int bits) {
    long groups = times(rows, columns / GROUP), words = columns / 32 * bits;
    if (array_expect(&a[0], times(rows, bits == 32 ? columns : words), "rows · columns") != 0)
        return NULL;
    for (int i = 1; i < (bits == 32 ? 1 : 3); i++)
        if (array_expect(&a[i], groups, "rows · columns / 64") != 0) return NULL;
    matrix *m = malloc(sizeof *m);
    int failed = m == NULL;
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS;
        failed = matrix_pack(m, rows, columns, bits, a[0].data, bits == 32 ? NULL : a[1].data,
                             bits == 32 ? NULL : a[2].data) != 0;
        Py_END_ALLOW_THREADS;
    }
    if (!failed) return m;
    free(m);
    PyErr_NoMemory();
    return NULL;
}

static PyObject *pack(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *objects[3];
    number rows = {"rows", 1, INT_MAX - WIDTH, 0}, columns = {"columns", 1, INT_MAX, 0};
    number bits = {"bits", 4, 32, 0};
    if (!PyArg_ParseTuple(args, "OOOO&O&O&", &objects[0], &objects[1], &objects[2], read_number,
                          &rows, read_number, &columns, read_number, &bits))
        return NULL;
    int is_packed = bits.value != 32, count = is_packed ? 3 : 1;
    if (is_packed && bits.value != 8 && bits.value != 4) {
        refuse("bits", bits.value, "4, 8 or 32");
        return NULL;
    }
    if (is_packed && columns.value % GROUP != 0) {
        refuse("columns", columns.value, "a multiple of 64 for quantised weights");
        return NULL;
    }
    const array_spec specs[] = {{"weight", is_packed ? UINT32 : FLOAT32, 0},
                                {"scales", FLOAT32, 0},
                                {"biases", FLOAT32, 0}};
    array a[3];
    if (arrays_open(a, specs, count, objects) != 0) return NULL;
    matrix *m = new_matrix(a, rows.value, columns.value, bits.value);
    arrays_close(a, count);
    if (m == NULL) return NULL;
    PyObject *capsule = PyCapsule_New(m, MATRIX, drop_matrix);
    if (capsule == NULL) {
        matrix_free(m);
        free(m);
    }
    return capsule;
}

static PyObject *multiply(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *capsule, *objects[2];
    number count = {"count", 1, INT_MAX, 0};
    if (!PyArg_ParseTuple(args, "OOOO&", &capsule, &objects[0], &objects[1], read_number, &count))
        return NULL;
    const matrix *m = get_capsule(capsule, MATRIX, "matrix");
    static const array_spec specs[] = {{"x", FLOAT32, 0}, {"y", FLOAT32, 1}};
    array a[2];
    if (m == NULL || arrays_open(a, specs, 2, objects) != 0) return NULL;
    int failed = 0;
    if (array_expect(&a[0], times(count.value, m->columns), "count · columns") == 0 &&
        array_expect(&a[1], times(count.value, m->rows), "count · rows") == 0) {
        Py_BEGIN_ALLOW_THREADS;
        failed = matrix_multiply(m, count.value, a[0].data, a[1].data);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, 2, failed);
}

static PyObject *draw(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *objects[2];
    float temperature, top_p;
    if (!PyArg_ParseTuple(args, "OOff", &objects[0], &objects[1], &temperature, &top_p))
        return NULL;
    static const array_spec specs[] = {{"logits", FLOAT32, 0}, {"noise", FLOAT32, 0}};
    array a[2];
    if (arrays_open(a, specs, 2, objects) != 0) return NULL;
    int drawn = -1;
    if (a[0].size < 1 || a[0].size > INT_MAX) refuse("len(logits)", a[0].size, "1 to 2147483647");
    else if (a[1].size < 1 || a[1].size > a[0].size)
        refuse("len(noise)", a[1].size, "1 to as many as logits");
    else if (!(temperature > 0))
        PyErr_SetString(PyExc_ValueError, "temperature is not above 0, expected a positive number");
    else if ((drawn = decode_sample(a[0].data, (int)a[0].size, (int)a[1].size, temperature, top_p,
                                    a[1].data)) < 0)
        PyErr_NoMemory();
    arrays_close(a, 2);
    return drawn < 0 ? NULL : PyLong_FromLong(drawn);
}

PyMethodDef matrix_methods[] = {
    {"pack", pack, METH_VARARGS, "pack(weight, scales, biases, rows, columns, bits) → a matrix"},
    {"times", multiply, METH_VARARGS, "times(matrix, x, y, count): y = x · matrixᵀ"},
    {"draw", draw, METH_VARARGS, "draw(logits, noise, temperature, top_p) → an index of logits"},
    {NULL, NULL, 0, NULL},
};
