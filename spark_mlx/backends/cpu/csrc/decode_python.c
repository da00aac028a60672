/* The functions of decoding as Python calls them.

   Input: arrays, and matrices, decoders and caches as capsules. Every shape is checked here, before
   the GIL is released. A decoder keeps alive what it was made from; a cache fits decoders of the
   sizes it was made for, and one call at a time. */
#include "decode_python.h"

#include <stdlib.h>

#include "arguments.h"
#include "decode.h"
#include "decode_kernels.h"
#include "decode_sampling.h"

#define MATRIX "spark_mlx.matrix"
#define DECODER "spark_mlx.decoder"
#define CACHE "spark_mlx.cache"

/* Get the pointer of a capsule, or NULL with a TypeError. */
static void *get(PyObject *object, const char *kind, const char *name) {
    if (PyCapsule_IsValid(object, kind)) return PyCapsule_GetPointer(object, kind);
    PyErr_Format(PyExc_TypeError, "%s: expected a %s, not %s", name, kind,
                 Py_TYPE(object)->tp_name);
    return NULL;
}

/* ---- Matrices ---- */

static void drop_matrix(PyObject *capsule) {
    matrix *m = PyCapsule_GetPointer(capsule, MATRIX);
    matrix_free(m);
    free(m);
}

/* Pack what `pack` was given; NULL with an exception. */
static matrix *new_matrix(const array *a, int rows, int columns, int bits) {
    long groups = times(rows, columns / GROUP), words = columns / 32 * bits;
    if (array_expect(&a[0], times(rows, bits == 32 ? columns : words), "rows · columns") != 0)
        return NULL;
    for (int i = 1; i < (bits == 32 ? 1 : 3); i++)
        if (array_expect(&a[i], groups, "rows · columns / 64") != 0) return NULL;
    matrix *m = malloc(sizeof *m);
    int failed = m == NULL;
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS;
        failed = matrix_pack(m, rows, columns, bits, a[0].data, bits == 32 ? NULL : a[1].data,
                             bits == 32 ? NULL : a[2].data) != 0;
        Py_END_ALLOW_THREADS;
    }
    if (!failed) return m;
    free(m);
    PyErr_NoMemory();
    return NULL;
}

static PyObject *pack(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *objects[3];
    number rows = {"rows", 1, INT_MAX - WIDTH, 0}, columns = {"columns", 1, INT_MAX, 0};
    number bits = {"bits", 4, 32, 0};
    if (!PyArg_ParseTuple(args, "OOOO&O&O&", &objects[0], &objects[1], &objects[2], read_number,
                          &rows, read_number, &columns, read_number, &bits))
        return NULL;
    int is_packed = bits.value != 32, count = is_packed ? 3 : 1;
    if (is_packed && bits.value != 8 && bits.value != 4) {
        refuse("bits", bits.value, "4, 8 or 32");
        return NULL;
    }
    if (is_packed && columns.value % GROUP != 0) {
        refuse("columns", columns.value, "a multiple of 64 for quantised weights");
        return NULL;
    }
    const array_spec specs[] = {{"weight", is_packed ? UINT32 : FLOAT32, 0},
                                {"scales", FLOAT32, 0},
                                {"biases", FLOAT32, 0}};
    array a[3];
    if (arrays_open(a, specs, count, objects) != 0) return NULL;
    matrix *m = new_matrix(a, rows.value, columns.value, bits.value);
    arrays_close(a, count);
    if (m == NULL) return NULL;
    PyObject *capsule = PyCapsule_New(m, MATRIX, drop_matrix);
    if (capsule == NULL) {
        matrix_free(m);
        free(m);
    }
    return capsule;
}

static PyObject *multiply(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *capsule, *objects[2];
    number count = {"count", 1, INT_MAX, 0};
    if (!PyArg_ParseTuple(args, "OOOO&", &capsule, &objects[0], &objects[1], read_number, &count))
        return NULL;
    const matrix *m = get(capsule, MATRIX, "matrix");
    static const array_spec specs[] = {{"x", FLOAT32, 0}, {"y", FLOAT32, 1}};
    array a[2];
    if (m == NULL || arrays_open(a, specs, 2, objects) != 0) return NULL;
    int failed = 0;
    if (array_expect(&a[0], times(count.value, m->columns), "count · columns") == 0 &&
        array_expect(&a[1], times(count.value, m->rows), "count · rows") == 0) {
        Py_BEGIN_ALLOW_THREADS;
        failed = matrix_multiply(m, count.value, a[0].data, a[1].data);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, 2, failed);
}

/* ---- Decoders ---- */

/* A decoder and what it was made from: the arrays of its vectors, and the list of its matrices. */
typedef struct {
    decoder d;
    array *vectors;
    int count;
    PyObject *layers;
} decoder_holder;

static void close_decoder(decoder_holder *h) {
    arrays_close(h->vectors, h->count);
    Py_XDECREF(h->layers);
    free(h->vectors);
    free(h->d.layers);
    free(h);
}

static void drop_decoder(PyObject *capsule) {
    close_decoder(PyCapsule_GetPointer(capsule, DECODER));
}

/* Open a vector of `size` numbers that lives as long as the decoder; NULL with an exception. */
static const float *open_vector(decoder_holder *h, PyObject *object, const char *name, int size) {
    array_spec spec = {name, FLOAT32, 0};
    array *vector = &h->vectors[h->count];
    if (arrays_open(vector, &spec, 1, &object) != 0) return NULL;
    h->count++;
    return array_expect(vector, size, "of this layer") == 0 ? vector->data : NULL;
}

/* Get a matrix of these sizes; NULL with an exception. */
static const matrix *get_matrix(PyObject *object, const char *name, int rows, int columns) {
    const matrix *m = get(object, MATRIX, name);
    if (m == NULL || (m->rows == rows && m->columns == columns)) return m;
    PyErr_Format(PyExc_ValueError, "%s is a matrix of %d x %d, expected %d x %d", name, m->rows,
                 m->columns, rows, columns);
    return NULL;
}

/* A layer is (norm1, norm2, q, k, v, o, gate, up, down, q_bias, k_bias, v_bias). */
static int fill_layer(decoder_holder *h, decode_layer *l, PyObject *given) {
    enum { ITEMS = 12 };
    if (!PyTuple_Check(given) || PyTuple_GET_SIZE(given) != ITEMS) {
        PyErr_SetString(PyExc_ValueError, "layers holds something else than tuples of 12");
        return -1;
    }
    const decode_sizes *s = &h->d.sizes;
    int queries = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim, wide = s->intermediate;
    const struct {
        const char *name;
        const float **vector;
        const matrix **matrix;
        int rows, columns;
    } items[ITEMS] = {
        {"norm1", &l->norm1, NULL, s->hidden, 1},  {"norm2", &l->norm2, NULL, s->hidden, 1},
        {"q", NULL, &l->q, queries, s->hidden},    {"k", NULL, &l->k, keys, s->hidden},
        {"v", NULL, &l->v, keys, s->hidden},       {"o", NULL, &l->o, s->hidden, queries},
        {"gate", NULL, &l->gate, wide, s->hidden}, {"up", NULL, &l->up, wide, s->hidden},
        {"down", NULL, &l->down, s->hidden, wide}, {"q_bias", &l->q_bias, NULL, queries, 1},
        {"k_bias", &l->k_bias, NULL, keys, 1},     {"v_bias", &l->v_bias, NULL, keys, 1},
    };
    for (int i = 0; i < ITEMS; i++) {
        PyObject *item = PyTuple_GET_ITEM(given, i);
        if (items[i].matrix != NULL)
            *items[i].matrix = get_matrix(item, items[i].name, items[i].rows, items[i].columns);
        else *items[i].vector = open_vector(h, item, items[i].name, items[i].rows);
        if (PyErr_Occurred()) return -1;
    }
    return 0;
}

static int fill_decoder(decoder_holder *h, PyObject *norm, PyObject *frequencies) {
    decoder *d = &h->d;
    const decode_sizes *s = &d->sizes;
    d->layers = calloc(s->layers, sizeof *d->layers);
    h->vectors = calloc(2 + 5 * (size_t)s->layers, sizeof *h->vectors);
    if (d->layers == NULL || h->vectors == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if ((d->norm = open_vector(h, norm, "norm", s->hidden)) == NULL) return -1;
    d->frequencies = open_vector(h, frequencies, "frequencies", s->head_dim / 2);
    if (d->frequencies == NULL) return -1;
    for (int i = 0; i < s->layers; i++)
        if (fill_layer(h, &d->layers[i], PyList_GET_ITEM(h->layers, i)) != 0) return -1;
    return 0;
}

static int check_heads(const decode_sizes *s) {
    if (s->heads % s->kv_heads != 0) return refuse("heads", s->heads, "a multiple of kv_heads");
    if (s->head_dim % 2 != 0) return refuse("head_dim", s->head_dim, "an even number");
    return 0;
}

static PyObject *new_decoder(PyObject *self, PyObject *args) {
    (void)self;
    /* Products of two of them fit an int. */
    enum { MAX_SIZE = 1 << 22, MAX_ATTENTION_HEADS = 1 << 12, MAX_LAYERS = 1 << 12 };
    number hidden = {"hidden", 1, MAX_SIZE, 0}, intermediate = {"intermediate", 1, MAX_SIZE, 0};
    number heads = {"heads", 1, MAX_ATTENTION_HEADS, 0};
    number kv_heads = {"kv_heads", 1, MAX_ATTENTION_HEADS, 0};
    number head_dim = {"head_dim", 2, MAX_HEAD_DIM, 0};
    float eps;
    PyObject *norm, *frequencies, *list;
    if (!PyArg_ParseTuple(args, "(O&O&O&O&O&)fOOO!", read_number, &hidden, read_number,
                          &intermediate, read_number, &heads, read_number, &kv_heads, read_number,
                          &head_dim, &eps, &norm, &frequencies, &PyList_Type, &list))
        return NULL;
    Py_ssize_t layers = PyList_GET_SIZE(list);
    if (layers < 1 || layers > MAX_LAYERS) {
        refuse("layers", (long)layers, "1 to 4096 of them");
        return NULL;
    }
    decoder_holder *h = calloc(1, sizeof *h);
    if (h == NULL) return PyErr_NoMemory();
    h->d.sizes = (decode_sizes){hidden.value,   intermediate.value, (int)layers, heads.value,
                                kv_heads.value, head_dim.value,     eps};
    h->layers = PyList_GetSlice(list, 0, layers);
    PyObject *capsule = NULL;
    if (h->layers != NULL && check_heads(&h->d.sizes) == 0 &&
        fill_decoder(h, norm, frequencies) == 0)
        capsule = PyCapsule_New(&h->d, DECODER, drop_decoder);
    if (capsule == NULL) close_decoder(h);
    return capsule;
}

/* ---- Caches ---- */

typedef struct {
    decode_cache cache;
    decode_sizes sizes; /* of the decoder it was made for */
    int is_in_use;      /* by a call; guarded by the GIL */
} cache_holder;

static void drop_cache(PyObject *capsule) {
    cache_holder *h = PyCapsule_GetPointer(capsule, CACHE);
    decode_cache_close(&h->cache);
    free(h);
}

static PyObject *new_cache(PyObject *self, PyObject *capsule) {
    (void)self;
    const decoder *d = get(capsule, DECODER, "decoder");
    if (d == NULL) return NULL;
    cache_holder *h = calloc(1, sizeof *h);
    if (h == NULL || decode_cache_open(&h->cache, &d->sizes) != 0) {
        free(h);
        return PyErr_NoMemory();
    }
    h->sizes = d->sizes;
    PyObject *cache = PyCapsule_New(h, CACHE, drop_cache);
    if (cache == NULL) {
        decode_cache_close(&h->cache);
        free(h);
    }
    return cache;
}

/* Get caches that fit the decoder and are free. Returns 0, or -1 with an exception. */
static int get_caches(const decoder *d, PyObject *objects, int count, cache_holder **holders) {
    const decode_sizes *s = &d->sizes;
    for (int i = 0; i < count; i++) {
        const cache_holder *h = holders[i] = get(PyTuple_GET_ITEM(objects, i), CACHE, "caches");
        if (h == NULL) return -1;
        if (h->sizes.layers != s->layers || h->sizes.kv_heads != s->kv_heads ||
            h->sizes.head_dim != s->head_dim) {
            PyErr_Format(PyExc_ValueError,
                         "caches[%d] is for %d layers of %d x %d keys, expected %d of %d x %d", i,
                         h->sizes.layers, h->sizes.kv_heads, h->sizes.head_dim, s->layers,
                         s->kv_heads, s->head_dim);
            return -1;
        }
        if (h->is_in_use) {
            PyErr_Format(PyExc_ValueError, "caches[%d] is in use by another thread", i);
            return -1;
        }
        if (h->cache.length > (1 << 28) - count)
            return refuse("caches[i]", h->cache.length, "fewer positions");
    }
    return 0;
}

static int run_decoder(const decoder *d, int count, cache_holder *const *holders, const array *a) {
    decode_cache **caches = malloc(sizeof *caches * count);
    if (caches == NULL) return -1;
    for (int i = 0; i < count; i++) {
        caches[i] = &holders[i]->cache;
        holders[i]->is_in_use = 1;
    }
    int failed;
    Py_BEGIN_ALLOW_THREADS;
    failed = decode_run(d, count, caches, a[0].data, a[1].data);
    Py_END_ALLOW_THREADS;
    for (int i = 0; i < count; i++) holders[i]->is_in_use = 0;
    free(caches);
    return failed;
}

static PyObject *decode(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *capsule, *list, *objects[2];
    if (!PyArg_ParseTuple(args, "OO!OO", &capsule, &PyList_Type, &list, &objects[0], &objects[1]))
        return NULL;
    const decoder *d = get(capsule, DECODER, "decoder");
    static const array_spec specs[] = {{"x", FLOAT32, 0}, {"y", FLOAT32, 1}};
    array a[2];
    if (d == NULL || arrays_open(a, specs, 2, objects) != 0) return NULL;
    PyObject *caches = PyList_AsTuple(list); /* keeps them alive while the GIL is released */
    Py_ssize_t count = caches == NULL ? 0 : PyTuple_GET_SIZE(caches);
    int failed = 0;
    cache_holder **holders = NULL;
    if (caches != NULL && (count < 1 || count > 1 << 20))
        refuse("caches", (long)count, "1 to 1048576 of them");
    else if (caches != NULL && (holders = malloc(sizeof *holders * count)) == NULL) failed = 1;
    else if (caches != NULL &&
             array_expect(&a[0], times(count, d->sizes.hidden), "caches · hidden") == 0 &&
             array_expect(&a[1], times(count, d->sizes.hidden), "caches · hidden") == 0 &&
             get_caches(d, caches, (int)count, holders) == 0)
        failed = run_decoder(d, (int)count, holders, a);
    free(holders);
    Py_XDECREF(caches);
    return arrays_finish(a, 2, failed);
}

/* ---- Sampling ---- */

static PyObject *draw(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *objects[2];
    float temperature, top_p;
    if (!PyArg_ParseTuple(args, "OOff", &objects[0], &objects[1], &temperature, &top_p))
        return NULL;
    static const array_spec specs[] = {{"logits", FLOAT32, 0}, {"noise", FLOAT32, 0}};
    array a[2];
    if (arrays_open(a, specs, 2, objects) != 0) return NULL;
    int drawn = -1;
    if (a[0].size < 1 || a[0].size > INT_MAX) refuse("len(logits)", a[0].size, "1 to 2147483647");
    else if (a[1].size < 1 || a[1].size > a[0].size)
        refuse("len(noise)", a[1].size, "1 to as many as logits");
    else if (!(temperature > 0))
        PyErr_SetString(PyExc_ValueError, "temperature is not above 0, expected a positive number");
    else if ((drawn = decode_sample(a[0].data, (int)a[0].size, (int)a[1].size, temperature, top_p,
                                    a[1].data)) < 0)
        PyErr_NoMemory();
    arrays_close(a, 2);
    return drawn < 0 ? NULL : PyLong_FromLong(drawn);
}

PyMethodDef decode_methods[] = {
    {"pack", pack, METH_VARARGS, "pack(weight, scales, biases, rows, columns, bits) → a matrix"},
    {"times", multiply, METH_VARARGS, "times(matrix, x, y, count): y = x · matrixᵀ"},
    {"decoder", new_decoder, METH_VARARGS,
     "decoder((hidden, intermediate, heads, kv_heads, head_dim), eps, norm, frequencies, layers)"},
    {"cache", new_cache, METH_O, "cache(decoder) → an empty cache of one stream"},
    {"decode", decode, METH_VARARGS, "decode(decoder, caches, x, y), a cache for each row of x"},
    {"draw", draw, METH_VARARGS, "draw(logits, noise, temperature, top_p) → an index of logits"},
    {NULL, NULL, 0, NULL},
};
