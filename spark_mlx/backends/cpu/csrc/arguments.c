/* Read and check the arguments of the functions that Python calls; see arguments.h. */
#include "arguments.h"

int refuse(const char *name, long value, const char *expectation) {
    PyErr_Format(PyExc_ValueError, "%s is %ld, expected %s", name, value, expectation);
    return -1;
}

long times(long a, long b) {
    long product;
    return __builtin_mul_overflow(a, b, &product) ? LONG_MAX : product;
}

/* ---- Whole numbers ---- */

int read_number(PyObject *object, void *into) {
    number *n = into;
    if (!PyLong_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a whole number, not %s", n->name,
                     Py_TYPE(object)->tp_name);
        return 0;
    }
    int overflow;
    long value = PyLong_AsLongAndOverflow(object, &overflow);
    if (value == -1 && PyErr_Occurred()) return 0;
    if (overflow != 0 || value < n->min || value > n->max) {
        const char *side = overflow < 0 ? "below " : overflow > 0 ? "above " : "";
        long shown = overflow < 0 ? LONG_MIN : overflow > 0 ? LONG_MAX : value;
        PyErr_Format(PyExc_ValueError, "%s is %s%ld, expected %d to %d", n->name, side, shown,
                     n->min, n->max);
        return 0;
    }
    n->value = (int)value;
    return 1;
}

/* ---- Arrays ---- */

/* Whether a buffer's format is that of one native number of this type. */
static int has_type(const Py_buffer *view, char type) {
    const char *format = view->format == NULL ? "B" : view->format;
    if (format[0] == '@' || format[0] == '=' || (format[0] == '<' && PY_LITTLE_ENDIAN)) format++;
    return format[0] == type && format[1] == '\0' && view->itemsize == 4;
}

static int open_array(array *a, const array_spec *spec, PyObject *object) {
    const char *kind = spec->type == FLOAT32 ? "float32" : "uint32";
    if (!PyObject_CheckBuffer(object)) {
        PyErr_Format(PyExc_TypeError, "%s: expected an array of %s, not %s", spec->name, kind,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    int flags = PyBUF_STRIDES | PyBUF_FORMAT | (spec->is_output ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, &a->view, flags) != 0) {
        if (!PyErr_ExceptionMatches(PyExc_BufferError) && !PyErr_ExceptionMatches(PyExc_ValueError))
            return -1;
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "%s cannot be %s, expected an array of %s", spec->name,
                     spec->is_output ? "written" : "read", kind);
        return -1;
    }
    if (!has_type(&a->view, spec->type))
        PyErr_Format(PyExc_ValueError, "%s holds numbers of type '%s', expected %s", spec->name,
                     a->view.format == NULL ? "B" : a->view.format, kind);
    else if (!PyBuffer_IsContiguous(&a->view, 'C'))
        PyErr_Format(PyExc_ValueError, "%s has gaps in memory, expected a contiguous array",
                     spec->name);
    else if ((uintptr_t)a->view.buf % sizeof(float) != 0)
        PyErr_Format(PyExc_ValueError, "%s lies at an odd address, expected one aligned to %s",
                     spec->name, kind);
    else {
        a->name = spec->name;
        a->data = a->view.buf;
        a->size = (long)(a->view.len / (Py_ssize_t)sizeof(float));
        return 0;
    }
    PyBuffer_Release(&a->view);
    return -1;
}

int arrays_open(array *arrays, const array_spec *specs, int count, PyObject *const *objects) {
    for (int i = 0; i < count; i++)
        if (open_array(&arrays[i], &specs[i], objects[i]) != 0) {
            arrays_close(arrays, i);
            return -1;
        }
    return 0;
}

void arrays_close(array *arrays, int count) {
    for (int i = 0; i < count; i++) PyBuffer_Release(&arrays[i].view);
}

int array_expect(const array *a, long size, const char *meaning) {
    if (a->size == size) return 0;
    if (size == LONG_MAX)
        PyErr_Format(PyExc_ValueError, "%s has %ld numbers, expected more than fit in memory (%s)",
                     a->name, a->size, meaning);
    else
        PyErr_Format(PyExc_ValueError, "%s has %ld numbers, expected %ld (%s)", a->name, a->size,
                     size, meaning);
    return -1;
}

int array_expect_rows(const array *a, int columns) {
    if (a->size % columns == 0) return 0;
    PyErr_Format(PyExc_ValueError, "%s has %ld numbers, expected a multiple of %d", a->name,
                 a->size, columns);
    return -1;
}

PyObject *arrays_finish(array *arrays, int count, int failed) {
    arrays_close(arrays, count);
    if (PyErr_Occurred()) return NULL;
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}
