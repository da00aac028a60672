/* The gradients of the codec's layers as Python calls them.

   Input: float32 arrays without gaps and sizes, in the shapes of gradient.h. Output: written into
   the last arrays. Every shape is checked here, before the GIL is released. */
#include "gradient_python.h"

#include "arguments.h"
#include "codec_python.h"
#include "gradient.h"

static PyObject *conv_gradient(PyObject *self, PyObject *args) {
    (void)self;
    static const array_spec specs[] = {
        {"x", FLOAT32, 0}, {"given", FLOAT32, 0}, {"by_weight", FLOAT32, 1}};
    enum { X, GIVEN, BY_WEIGHT, COUNT };
    PyObject *objects[COUNT];
    array a[COUNT];
    conv_sizes s;
    int failed = 0;
    if (!PyArg_ParseTuple(args, "OOOO&", &objects[X], &objects[GIVEN], &objects[BY_WEIGHT],
                          read_sizes, &s) ||
        check_sizes(&s) != 0 || check_frames(&s) != 0)
        return NULL;
    if (s.groups != 1) {
        refuse("groups", s.groups, "1 for a gradient");
        return NULL;
    }
    if (arrays_open(a, specs, COUNT, objects) != 0) return NULL;
    if (array_expect(&a[X], times(times(s.batch, s.frames), s.in), "batch · frames · in") == 0 &&
        array_expect(&a[GIVEN], times(times(s.batch, s.out_frames), s.out),
                     "batch · out_frames · out") == 0 &&
        array_expect(&a[BY_WEIGHT], times(times(s.kernel, s.in), s.out), "kernel · in · out") ==
            0) {
        Py_BEGIN_ALLOW_THREADS;
        failed = gradient_conv(a[X].data, a[GIVEN].data, a[BY_WEIGHT].data, &s);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, COUNT, failed);
}

static PyObject *snake_gradient(PyObject *self, PyObject *args) {
    (void)self;
    static const array_spec specs[] = {{"x", FLOAT32, 0},
                                       {"alpha", FLOAT32, 0},
                                       {"given", FLOAT32, 0},
                                       {"by_x", FLOAT32, 1},
                                       {"by_alpha", FLOAT32, 1}};
    enum { X, ALPHA, GIVEN, BY_X, BY_ALPHA, COUNT };
    PyObject *o[COUNT];
    array a[COUNT];
    number channels = {"channels", 1, INT_MAX, 0};
    int failed = 0;
    if (!PyArg_ParseTuple(args, "OOOOOO&", &o[X], &o[ALPHA], &o[GIVEN], &o[BY_X], &o[BY_ALPHA],
                          read_number, &channels) ||
        arrays_open(a, specs, COUNT, o) != 0)
        return NULL;
    if (array_expect_rows(&a[X], channels.value) == 0 &&
        array_expect(&a[ALPHA], channels.value, "channels") == 0 &&
        array_expect(&a[BY_ALPHA], channels.value, "channels") == 0 &&
        array_expect(&a[GIVEN], a[X].size, "as many as x") == 0 &&
        array_expect(&a[BY_X], a[X].size, "as many as x") == 0) {
        Py_BEGIN_ALLOW_THREADS;
        failed = gradient_snake(a[X].data, a[ALPHA].data, a[GIVEN].data, a[BY_X].data,
                                a[BY_ALPHA].data, a[X].size / channels.value, channels.value);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, COUNT, failed);
}

static PyObject *elementwise_gradient(PyObject *args,
                                      void compute(const float *, const float *, float *, long)) {
    static const array_spec specs[] = {
        {"x", FLOAT32, 0}, {"given", FLOAT32, 0}, {"by_x", FLOAT32, 1}};
    PyObject *objects[3];
    array a[3];
    if (!PyArg_ParseTuple(args, "OOO", &objects[0], &objects[1], &objects[2]) ||
        arrays_open(a, specs, 3, objects) != 0)
        return NULL;
    if (array_expect(&a[1], a[0].size, "as many as x") == 0 &&
        array_expect(&a[2], a[0].size, "as many as x") == 0) {
        Py_BEGIN_ALLOW_THREADS;
        compute(a[0].data, a[1].data, a[2].data, a[0].size);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, 3, 0);
}

static PyObject *gelu_gradient(PyObject *self, PyObject *args) {
    (void)self;
    return elementwise_gradient(args, gradient_gelu);
}

static PyObject *silu_gradient(PyObject *self, PyObject *args) {
    (void)self;
    return elementwise_gradient(args, gradient_silu);
}

static PyObject *softmax_gradient(PyObject *self, PyObject *args) {
    (void)self;
    static const array_spec specs[] = {{"y", FLOAT32, 0}, {"given", FLOAT32, 1}};
    PyObject *objects[2];
    array a[2];
    number columns = {"columns", 1, INT_MAX, 0};
    if (!PyArg_ParseTuple(args, "OOO&", &objects[0], &objects[1], read_number, &columns) ||
        arrays_open(a, specs, 2, objects) != 0)
        return NULL;
    if (array_expect_rows(&a[0], columns.value) == 0 &&
        array_expect(&a[1], a[0].size, "as many as y") == 0) {
        Py_BEGIN_ALLOW_THREADS;
        gradient_softmax(a[0].data, a[1].data, a[0].size / columns.value, columns.value);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, 2, 0);
}

PyMethodDef gradient_methods[] = {
    {"conv_gradient", conv_gradient, METH_VARARGS, "conv_gradient(x, given, by_weight, sizes)"},
    {"snake_gradient", snake_gradient, METH_VARARGS,
     "snake_gradient(x, alpha, given, by_x, by_alpha, channels)"},
    {"gelu_gradient", gelu_gradient, METH_VARARGS, "gelu_gradient(x, given, by_x)"},
    {"silu_gradient", silu_gradient, METH_VARARGS, "silu_gradient(x, given, by_x)"},
    {"softmax_gradient", softmax_gradient, METH_VARARGS,
     "softmax_gradient(y, given, columns), into given"},
    {NULL, NULL, 0, NULL},
};
