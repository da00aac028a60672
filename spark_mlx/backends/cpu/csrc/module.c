/* spark_mlx.native._native: the Python side. Arrays come in as buffers of float32; their shapes are
   checked by the Python functions beside this file. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "blas.h"
#include "decode_python.h"
#include "gradient.h"
#include "patch_blas.h"
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
    return PyLong_FromLong(patch_blas());
}

/* Layers of a codec come in many sizes of megabytes. Left to itself, glibc soon keeps such blocks in
   its heaps when they are freed, and these grow to twice of what is in use. A larger limit than the
   128 KiB of its start spares small models most of the page faults. */
static PyObject *limit_heaps(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
#ifdef __GLIBC__
    if (getenv("MALLOC_MMAP_THRESHOLD_") == NULL && getenv("GLIBC_TUNABLES") == NULL)
        mallopt(M_MMAP_THRESHOLD, 2 << 20);
#endif
    Py_RETURN_NONE;
}

static PyObject *aside(PyObject *self, PyObject *args) {
    (void)self;
    int on;
    if (!PyArg_ParseTuple(args, "p", &on)) return NULL;
    pool_aside(on);
    Py_RETURN_NONE;
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
    int channels;
    if (!PyArg_ParseTuple(args, "y*y*w*i", &x, &alpha, &y, &channels)) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    sound_snake(x.buf, alpha.buf, y.buf, (long)(x.len / 4) / channels, channels);
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
    int columns, queries;
    if (!PyArg_ParseTuple(args, "w*ii", &x, &columns, &queries)) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    sound_softmax(x.buf, (long)(x.len / 4) / columns, columns, queries);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&x);
    Py_RETURN_NONE;
}

/* A function of x, weight, bias, y and the sizes in the order of conv_sizes. */
typedef int convolution(const float *, const float *, const float *, float *, const conv_sizes *);

static PyObject *convolve(PyObject *args, convolution compute) {
    Py_buffer x, weight, bias, y;
    conv_sizes s;
    int failed;
    if (!PyArg_ParseTuple(args, "y*y*y*w*(iiiiiiiiii)", &x, &weight, &bias, &y, &s.batch,
                          &s.frames, &s.in, &s.kernel, &s.stride, &s.padding, &s.dilation,
                          &s.groups, &s.out_frames, &s.out))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    failed = compute(x.buf, weight.buf, bias.buf, y.buf, &s);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&x), PyBuffer_Release(&weight), PyBuffer_Release(&bias), PyBuffer_Release(&y);
    return done(failed);
}

static PyObject *conv(PyObject *self, PyObject *args) {
    (void)self;
    return convolve(args, sound_conv);
}

static PyObject *conv_transpose(PyObject *self, PyObject *args) {
    (void)self;
    return convolve(args, sound_conv_transpose);
}

static PyObject *conv_gradient(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer x, given, by_weight;
    conv_sizes s;
    int failed;
    if (!PyArg_ParseTuple(args, "y*y*w*(iiiiiiiiii)", &x, &given, &by_weight, &s.batch, &s.frames,
                          &s.in, &s.kernel, &s.stride, &s.padding, &s.dilation, &s.groups,
                          &s.out_frames, &s.out))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    failed = gradient_conv(x.buf, given.buf, by_weight.buf, &s);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&x), PyBuffer_Release(&given), PyBuffer_Release(&by_weight);
    return done(failed);
}

static PyObject *snake_gradient(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer x, alpha, given, by_x, by_alpha;
    int channels, failed;
    if (!PyArg_ParseTuple(args, "y*y*y*w*w*i", &x, &alpha, &given, &by_x, &by_alpha, &channels))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    failed = gradient_snake(x.buf, alpha.buf, given.buf, by_x.buf, by_alpha.buf,
                            (long)(x.len / 4) / channels, channels);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&x), PyBuffer_Release(&alpha), PyBuffer_Release(&given);
    PyBuffer_Release(&by_x), PyBuffer_Release(&by_alpha);
    return done(failed);
}

static PyObject *curve_gradient(PyObject *args,
                                void compute(const float *, const float *, float *, long)) {
    Py_buffer x, given, by_x;
    if (!PyArg_ParseTuple(args, "y*y*w*", &x, &given, &by_x)) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    compute(x.buf, given.buf, by_x.buf, (long)(x.len / 4));
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&x), PyBuffer_Release(&given), PyBuffer_Release(&by_x);
    Py_RETURN_NONE;
}

static PyObject *gelu_gradient(PyObject *self, PyObject *args) {
    (void)self;
    return curve_gradient(args, gradient_gelu);
}

static PyObject *silu_gradient(PyObject *self, PyObject *args) {
    (void)self;
    return curve_gradient(args, gradient_silu);
}

static PyObject *residual_unit(PyObject *self, PyObject *args) {
    (void)self;
    enum { X, ALPHA1, WIDE, BIAS1, ALPHA2, NARROW, BIAS2, Y, COUNT };
    Py_buffer b[COUNT];
    int row, frames, channels, kernel, dilation, failed;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*y*w*iiiii", &b[X], &b[ALPHA1], &b[WIDE], &b[BIAS1],
                          &b[ALPHA2], &b[NARROW], &b[BIAS2], &b[Y], &row, &frames, &channels,
                          &kernel, &dilation))
        return NULL;
    long before = (long)row * frames * channels;
    Py_BEGIN_ALLOW_THREADS;
    failed = sound_residual_unit((float *)b[X].buf + before, frames, channels, b[ALPHA1].buf,
                                 b[WIDE].buf, b[BIAS1].buf, kernel, dilation, b[ALPHA2].buf,
                                 b[NARROW].buf, b[BIAS2].buf, (float *)b[Y].buf + before);
    Py_END_ALLOW_THREADS;
    for (int i = 0; i < COUNT; i++) PyBuffer_Release(&b[i]);
    return done(failed);
}

static PyObject *softmax_gradient(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer y, given;
    int columns;
    if (!PyArg_ParseTuple(args, "y*w*i", &y, &given, &columns)) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    gradient_softmax(y.buf, given.buf, (long)(y.len / 4) / columns, columns);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&y), PyBuffer_Release(&given);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"open_blas", open_blas, METH_VARARGS, "open_blas(path, prefix, threads)"},
    {"calls", calls, METH_NOARGS, "Products that came through cblas_sgemm."},
    {"redirect", redirect, METH_NOARGS, "Make the loaded MLX call these products; return the number of changed entries."},
    {"limit_heaps", limit_heaps, METH_NOARGS, "Let malloc return large freed blocks to the system."},
    {"aside", aside, METH_VARARGS, "aside(on): whether this thread computes alone from now on."},
    {"threads", threads, METH_NOARGS, "Threads that work at most."},
    {"kernel", kernel, METH_NOARGS, "The kernel in use."},
    {"use_kernel", use_kernel, METH_VARARGS, "use_kernel(name): whether it can be used here."},
    {"snake", snake, METH_VARARGS, "snake(x, alpha, y, channels)"},
    {"gelu", gelu, METH_VARARGS, "gelu(x, y)"},
    {"silu", silu, METH_VARARGS, "silu(x, y)"},
    {"softmax", softmax, METH_VARARGS, "softmax(x, columns, queries), in place"},
    {"conv", conv, METH_VARARGS, "conv(x, weight, bias, y, sizes)"},
    {"conv_transpose", conv_transpose, METH_VARARGS, "conv_transpose(x, weight, bias, y, sizes)"},
    {"conv_gradient", conv_gradient, METH_VARARGS, "conv_gradient(x, given, by_weight, sizes)"},
    {"snake_gradient", snake_gradient, METH_VARARGS,
     "snake_gradient(x, alpha, given, by_x, by_alpha, channels)"},
    {"gelu_gradient", gelu_gradient, METH_VARARGS, "gelu_gradient(x, given, by_x)"},
    {"silu_gradient", silu_gradient, METH_VARARGS, "silu_gradient(x, given, by_x)"},
    {"residual_unit", residual_unit, METH_VARARGS, "See sound.h."},
    {"softmax_gradient", softmax_gradient, METH_VARARGS,
     "softmax_gradient(y, given, columns), into given"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "Speech on a CPU.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddFunctions(module, decode_methods) != 0) Py_CLEAR(module);
    return module;
}
