/* spark_mlx.native._native: the Python side. Arrays come in as buffers of float32; their shapes are
   checked by the Python functions beside this file. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "blas.h"
#include "late.h"
#include "pool.h"
#include "product.h"
#include "sound.h"

static PyObject *open_blas(PyObject *self, PyObject *args) {
    (void)self;
    const char *path, *prefix;
    int threads;
    if (!PyArg_ParseTuple(args, "ssi", &path, &prefix, &threads)) return NULL;
    pool_set_threads(threads);
    const char *error = blas_open(path, prefix);
    if (error != NULL) {
        PyErr_Format(PyExc_OSError, "%s: %s", path, error);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *calls(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyLong_FromLong(blas_calls());
}

static PyObject *redirect(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyLong_FromLong(late_redirect());
}

static PyObject *threads(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyLong_FromLong(pool_threads());
}

static PyObject *use_kernel(PyObject *self, PyObject *args) {
    (void)self;
    const char *name;
    if (!PyArg_ParseTuple(args, "s", &name)) return NULL;
    return PyBool_FromLong(product_use(name) == 0);
}

static PyObject *kernel(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyUnicode_FromString(product_name());
}

static PyObject *done(int failed) {
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *snake(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer x, alpha, y;
    int frames, channels;
    if (!PyArg_ParseTuple(args, "y*y*w*ii", &x, &alpha, &y, &frames, &channels)) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    sound_snake(x.buf, alpha.buf, y.buf, frames, channels);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&x), PyBuffer_Release(&alpha), PyBuffer_Release(&y);
    Py_RETURN_NONE;
}

static PyObject *elementwise(PyObject *args, void compute(const float *, float *, long)) {
    Py_buffer x, y;
    if (!PyArg_ParseTuple(args, "y*w*", &x, &y)) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    compute(x.buf, y.buf, (long)(y.len / 4));
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&x), PyBuffer_Release(&y);
    Py_RETURN_NONE;
}

static PyObject *gelu(PyObject *self, PyObject *args) {
    (void)self;
    return elementwise(args, sound_gelu);
}

static PyObject *silu(PyObject *self, PyObject *args) {
    (void)self;
    return elementwise(args, sound_silu);
}

static PyObject *softmax(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer x;
    int columns;
    if (!PyArg_ParseTuple(args, "w*i", &x, &columns)) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    sound_softmax(x.buf, (long)(x.len / 4) / columns, columns);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&x);
    Py_RETURN_NONE;
}

static PyObject *conv(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer x, weight, bias, y;
    int frames, in, kernel, stride, padding, dilation, groups, out_frames, out, failed;
    if (!PyArg_ParseTuple(args, "y*y*y*w*iiiiiiiii", &x, &weight, &bias, &y, &frames, &in, &kernel,
                          &stride, &padding, &dilation, &groups, &out_frames, &out))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    failed = sound_conv(x.buf, frames, in, weight.buf, bias.buf, kernel, stride, padding, dilation,
                        groups, y.buf, out_frames, out);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&x), PyBuffer_Release(&weight), PyBuffer_Release(&bias), PyBuffer_Release(&y);
    return done(failed);
}

static PyObject *conv_transpose(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer x, weight, bias, y;
    int frames, in, kernel, stride, padding, out_frames, out, failed;
    if (!PyArg_ParseTuple(args, "y*y*y*w*iiiiiii", &x, &weight, &bias, &y, &frames, &in, &kernel,
                          &stride, &padding, &out_frames, &out))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    failed = sound_conv_transpose(x.buf, frames, in, weight.buf, bias.buf, kernel, stride, padding,
                                  y.buf, out_frames, out);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&x), PyBuffer_Release(&weight), PyBuffer_Release(&bias), PyBuffer_Release(&y);
    return done(failed);
}

static PyObject *residual_unit(PyObject *self, PyObject *args) {
    (void)self;
    enum { X, ALPHA1, WIDE, BIAS1, ALPHA2, NARROW, BIAS2, Y, COUNT };
    Py_buffer b[COUNT];
    int frames, channels, kernel, dilation, failed;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*y*w*iiii", &b[X], &b[ALPHA1], &b[WIDE], &b[BIAS1],
                          &b[ALPHA2], &b[NARROW], &b[BIAS2], &b[Y], &frames, &channels, &kernel,
                          &dilation))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    failed = sound_residual_unit(b[X].buf, frames, channels, b[ALPHA1].buf, b[WIDE].buf,
                                 b[BIAS1].buf, kernel, dilation, b[ALPHA2].buf, b[NARROW].buf,
                                 b[BIAS2].buf, b[Y].buf);
    Py_END_ALLOW_THREADS;
    for (int i = 0; i < COUNT; i++) PyBuffer_Release(&b[i]);
    return done(failed);
}

static PyMethodDef methods[] = {
    {"open_blas", open_blas, METH_VARARGS, "open_blas(path, prefix, threads)"},
    {"calls", calls, METH_NOARGS, "Products that came through cblas_sgemm."},
    {"redirect", redirect, METH_NOARGS, "Lets an MLX that is loaded already call these products."},
    {"threads", threads, METH_NOARGS, "Threads that work at most."},
    {"kernel", kernel, METH_NOARGS, "The kernel in use."},
    {"use_kernel", use_kernel, METH_VARARGS, "use_kernel(name): whether it can be used here."},
    {"snake", snake, METH_VARARGS, "snake(x, alpha, y, frames, channels)"},
    {"gelu", gelu, METH_VARARGS, "gelu(x, y)"},
    {"silu", silu, METH_VARARGS, "silu(x, y)"},
    {"softmax", softmax, METH_VARARGS, "softmax(x, columns), in place"},
    {"conv", conv, METH_VARARGS, "See sound.h."},
    {"conv_transpose", conv_transpose, METH_VARARGS, "See sound.h."},
    {"residual_unit", residual_unit, METH_VARARGS, "See sound.h."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "Speech on a CPU.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&definition); }
