/* The functions of decoding as Python calls them; they join those of module.c. */
#ifndef SPARK_DECODE_PYTHON_H
#define SPARK_DECODE_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyMethodDef decode_methods[];

#endif
