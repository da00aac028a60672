/* The functions of the codec's layers as Python calls them; they join those of module.c. */
#ifndef SPARK_CODEC_PYTHON_H
#define SPARK_CODEC_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyMethodDef codec_methods[];

#endif
