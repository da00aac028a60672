/* Matrices, decoders and caches are capsules. A decoder keeps alive what it was made from. Shapes are
   checked by decoder.py. */
#include "decode_python.h"

#include <stdlib.h>

#include "decode.h"
#include "decode_draw.h"

#define MATRIX "spark_mlx.matrix"
#define DECODER "spark_mlx.decoder"
#define CACHE "spark_mlx.cache"

static void drop_matrix(PyObject *capsule) {
    matrix *m = PyCapsule_GetPointer(capsule, MATRIX);
    matrix_free(m);
    free(m);
}

static void release(Py_buffer *buffer) {
    if (buffer->obj != NULL) PyBuffer_Release(buffer);
}

static PyObject *pack(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer weight, scales, biases;
    int rows, columns, bits, failed = 0;
    if (!PyArg_ParseTuple(args, "y*z*z*iii", &weight, &scales, &biases, &rows, &columns, &bits))
        return NULL;
    matrix *m = malloc(sizeof *m);
    if (m != NULL) {
        Py_BEGIN_ALLOW_THREADS;
        failed = matrix_pack(m, rows, columns, bits, weight.buf, scales.buf, biases.buf);
        Py_END_ALLOW_THREADS;
    }
    release(&weight), release(&scales), release(&biases);
    if (m == NULL || failed) {
        free(m);
        return PyErr_NoMemory();
    }
    return PyCapsule_New(m, MATRIX, drop_matrix);
}

static PyObject *times(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *capsule;
    Py_buffer x, y;
    int count, failed = 0;
    if (!PyArg_ParseTuple(args, "Oy*w*i", &capsule, &x, &y, &count)) return NULL;
    const matrix *m = PyCapsule_GetPointer(capsule, MATRIX);
    if (m != NULL) {
        Py_BEGIN_ALLOW_THREADS;
        failed = matrix_times(m, count, x.buf, y.buf);
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&x), PyBuffer_Release(&y);
    if (m == NULL) return NULL;
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* ---- Decoders ---- */

/* What a decoder was made from: buffers of its vectors, and the list of its matrices. */
typedef struct {
    decoder d;
    Py_buffer *buffers;
    int count;
    PyObject *layers;
} holder;

static void close_holder(holder *h) {
    for (int i = 0; i < h->count; i++) PyBuffer_Release(&h->buffers[i]);
    Py_XDECREF(h->layers);
    free(h->buffers);
    free(h->d.layers);
    free(h);
}

static void drop_decoder(PyObject *capsule) {
    close_holder(PyCapsule_GetPointer(capsule, DECODER));
}

static const float *vector_of(holder *h, PyObject *array) {
    if (PyObject_GetBuffer(array, &h->buffers[h->count], PyBUF_SIMPLE) != 0) return NULL;
    return h->buffers[h->count++].buf;
}

/* A layer is (norm1, norm2, q, k, v, o, gate, up, down, q_bias, k_bias, v_bias). */
static int fill_layer(holder *h, decode_layer *l, PyObject *given) {
    enum { NORM1, NORM2, MATRICES, BIASES = MATRICES + 7, ALL = BIASES + 3 };
    PyObject *items[ALL];
    if (!PyArg_ParseTuple(given, "OOOOOOOOOOOO", &items[0], &items[1], &items[2], &items[3],
                          &items[4], &items[5], &items[6], &items[7], &items[8], &items[9],
                          &items[10], &items[11]))
        return -1;
    const matrix **matrices[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
    for (int i = 0; i < 7; i++)
        if ((*matrices[i] = PyCapsule_GetPointer(items[MATRICES + i], MATRIX)) == NULL) return -1;
    const float **vectors[] = {&l->norm1, &l->norm2, &l->q_bias, &l->k_bias, &l->v_bias};
    PyObject *arrays[] = {items[NORM1], items[NORM2], items[BIASES], items[BIASES + 1],
                          items[BIASES + 2]};
    for (int i = 0; i < 5; i++)
        if ((*vectors[i] = vector_of(h, arrays[i])) == NULL) return -1;
    return 0;
}

static int fill(holder *h, PyObject *norm, PyObject *frequencies) {
    decoder *d = &h->d;
    d->layers = calloc(d->sizes.layers, sizeof *d->layers);
    h->buffers = calloc(2 + 5 * (size_t)d->sizes.layers, sizeof *h->buffers);
    if (d->layers == NULL || h->buffers == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if ((d->norm = vector_of(h, norm)) == NULL) return -1;
    if ((d->frequencies = vector_of(h, frequencies)) == NULL) return -1;
    for (int i = 0; i < d->sizes.layers; i++)
        if (fill_layer(h, &d->layers[i], PyList_GET_ITEM(h->layers, i)) != 0) return -1;
    return 0;
}

static PyObject *new_decoder(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *layers, *norm, *frequencies;
    holder *h = calloc(1, sizeof *h);
    if (h == NULL) return PyErr_NoMemory();
    decode_sizes *s = &h->d.sizes;
    if (!PyArg_ParseTuple(args, "(iiiii)fOOO!", &s->hidden, &s->intermediate, &s->heads,
                          &s->kv_heads, &s->head_dim, &s->eps, &norm, &frequencies, &PyList_Type,
                          &layers)) {
        free(h);
        return NULL;
    }
    s->layers = (int)PyList_GET_SIZE(layers);
    h->layers = PyList_GetSlice(layers, 0, s->layers);
    if (h->layers == NULL || fill(h, norm, frequencies) != 0) {
        close_holder(h);
        return NULL;
    }
    return PyCapsule_New(&h->d, DECODER, drop_decoder);
}

/* ---- Caches ---- */

static void drop_cache(PyObject *capsule) {
    decode_cache *cache = PyCapsule_GetPointer(capsule, CACHE);
    decode_cache_close(cache);
    free(cache);
}

static PyObject *new_cache(PyObject *self, PyObject *capsule) {
    (void)self;
    const decoder *d = PyCapsule_GetPointer(capsule, DECODER);
    if (d == NULL) return NULL;
    decode_cache *cache = malloc(sizeof *cache);
    if (cache == NULL || decode_cache_open(cache, &d->sizes) != 0) {
        free(cache);
        return PyErr_NoMemory();
    }
    return PyCapsule_New(cache, CACHE, drop_cache);
}

static PyObject *decode(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *capsule, *list;
    Py_buffer x, y;
    if (!PyArg_ParseTuple(args, "OO!y*w*", &capsule, &PyList_Type, &list, &x, &y)) return NULL;
    const decoder *d = PyCapsule_GetPointer(capsule, DECODER);
    int count = (int)PyList_GET_SIZE(list), failed = 1;
    decode_cache **caches = malloc(sizeof *caches * (count + 1));
    for (int i = 0; d != NULL && caches != NULL && i < count; i++)
        caches[i] = PyCapsule_GetPointer(PyList_GET_ITEM(list, i), CACHE);
    if (caches != NULL && !PyErr_Occurred()) {
        Py_BEGIN_ALLOW_THREADS;
        failed = decode_run(d, count, caches, x.buf, y.buf);
        Py_END_ALLOW_THREADS;
    }
    free(caches);
    PyBuffer_Release(&x), PyBuffer_Release(&y);
    if (PyErr_Occurred()) return NULL;
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *draw(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer logits, noise;
    float temperature, top_p;
    if (!PyArg_ParseTuple(args, "y*y*ff", &logits, &noise, &temperature, &top_p)) return NULL;
    int count = (int)(logits.len / 4), kept = (int)(noise.len / 4);
    int drawn = decode_draw(logits.buf, count, kept, temperature, top_p, noise.buf);
    PyBuffer_Release(&logits), PyBuffer_Release(&noise);
    return drawn < 0 ? PyErr_NoMemory() : PyLong_FromLong(drawn);
}

PyMethodDef decode_methods[] = {
    {"pack", pack, METH_VARARGS, "pack(weight, scales, biases, rows, columns, bits) → a matrix"},
    {"times", times, METH_VARARGS, "times(matrix, x, y, count): y = x · matrixᵀ"},
    {"decoder", new_decoder, METH_VARARGS,
     "decoder((hidden, intermediate, heads, kv_heads, head_dim), eps, norm, frequencies, layers)"},
    {"cache", new_cache, METH_O, "cache(decoder) → an empty cache of one stream"},
    {"decode", decode, METH_VARARGS, "decode(decoder, caches, x, y), a cache for each row of x"},
    {"draw", draw, METH_VARARGS, "draw(logits, noise, temperature, top_p) → an index of logits"},
    {NULL, NULL, 0, NULL},
};
