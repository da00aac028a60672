/* spark_mlx.backends.cpu._native: the module, and what concerns the process as a whole.

   Importing it changes nothing; `open_blas`, `limit_heaps` and `redirect` do, called by native.py
   when a model is loaded. Functions hold the GIL unless they compute. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "arguments.h"
#include "blas.h"
#include "codec_python.h"
#include "decode_python.h"
#include "gemm.h"
#include "patch_blas.h"
#include "pool.h"

static PyObject *open_blas(PyObject *self, PyObject *args) {
    (void)self;
    const char *path, *prefix;
    number threads = {"threads", 1, 1024, 0};
    if (!PyArg_ParseTuple(args, "ssO&", &path, &prefix, read_number, &threads)) return NULL;
    pool_set_threads(threads.value);
    const char *error = blas_open(path, prefix);
    if (error != NULL) {
        PyErr_Format(PyExc_OSError, "%s: %s", path, error);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *redirect(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    if (!blas_is_open()) {
        PyErr_SetString(PyExc_RuntimeError, "redirect: expected open_blas first");
        return NULL;
    }
    return PyLong_FromLong(patch_blas());
}

static PyObject *calls(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyLong_FromLong(blas_calls());
}

/* Layers of a codec come in many sizes of megabytes. Left to itself, glibc soon keeps such blocks
   in its heaps when they are freed, and these grow to twice of what is in use. A larger limit than
   the 128 KiB of its start spares small models most of the page faults. */
static PyObject *limit_heaps(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
#ifdef __GLIBC__
    if (getenv("MALLOC_MMAP_THRESHOLD_") == NULL && getenv("GLIBC_TUNABLES") == NULL)
        mallopt(M_MMAP_THRESHOLD, 2 << 20);
#endif
    Py_RETURN_NONE;
}

static PyObject *reserve_core(PyObject *self, PyObject *args) {
    (void)self;
    int on;
    if (!PyArg_ParseTuple(args, "p", &on)) return NULL;
    pool_reserve_core(on);
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
    return PyBool_FromLong(gemm_use_kernel(name) == 0);
}

static PyObject *kernel(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyUnicode_FromString(gemm_kernel_name());
}

static PyMethodDef methods[] = {
    {"open_blas", open_blas, METH_VARARGS, "open_blas(path, prefix, threads)"},
    {"redirect", redirect, METH_NOARGS,
     "Make the loaded MLX call these products; return the number of changed entries."},
    {"calls", calls, METH_NOARGS, "Count the products that MLX has called so far."},
    {"limit_heaps", limit_heaps, METH_NOARGS, "Let malloc return large freed blocks at once."},
    {"reserve_core", reserve_core, METH_VARARGS,
     "reserve_core(on): run this thread single-threaded on a core that others leave free."},
    {"threads", threads, METH_NOARGS, "Return the number of threads that a loop uses at most."},
    {"kernel", kernel, METH_NOARGS, "Return the name of the kernel in use."},
    {"use_kernel", use_kernel, METH_VARARGS,
     "use_kernel(name): choose a kernel for tests; return whether this CPU runs it."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {.m_base = PyModuleDef_HEAD_INIT,
                                        .m_name = "_native",
                                        .m_doc = "Layers of speech models on a CPU.",
                                        .m_size = -1,
                                        .m_methods = methods};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && (PyModule_AddFunctions(module, codec_methods) != 0 ||
                           PyModule_AddFunctions(module, decode_methods) != 0))
        Py_CLEAR(module);
    return module;
}
