/* The gradients of the codec's layers as Python calls them; they join those of module.c. */
#ifndef SPARK_GRADIENT_PYTHON_H
#define SPARK_GRADIENT_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyMethodDef gradient_methods[];

#endif
