/* The functions of the codec's layers as Python calls them; they join those of module.c. With the
   GIL held. */
#ifndef SPARK_CODEC_PYTHON_H
#define SPARK_CODEC_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "codec_ops.h"

extern PyMethodDef codec_methods[];

/* Read a tuple of the ten sizes into a conv_sizes; 0 with an exception, for "O&" in
   PyArg_ParseTuple. */
int read_sizes(PyObject *object, void *into);

/* Check the sizes of any convolution, and that spans of frames fit an int; -1 with an exception. */
int check_sizes(const conv_sizes *sizes);

/* Check the number of output frames of a convolution; -1 with an exception. */
int check_frames(const conv_sizes *sizes);

#endif
