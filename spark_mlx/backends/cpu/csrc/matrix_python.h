/* Packed matrices and sampling as Python calls them; they join the functions of module.c. */
#ifndef SPARK_MATRIX_PYTHON_H
#define SPARK_MATRIX_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define MATRIX "spark_mlx.matrix"

extern PyMethodDef matrix_methods[];

/* Get the pointer of a capsule of this kind, or NULL with a TypeError that names the argument. */
void *get_capsule(PyObject *object, const char *kind, const char *name);

#endif
