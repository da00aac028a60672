/* Changes the addresses at which a loaded MLX calls its BLAS.

   A shared library calls others through a table of addresses, which the loader filled when MLX was
   imported. The entries of the three products are found by their names in the library's relocation
   records (ELF, System V ABI) and made to point here. Where the entries are not found, nothing
   changes, and the caller says that spark_mlx should be imported first. */
#define _GNU_SOURCE
#include "late.h"

#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void cblas_sgemm(void);
void cblas_dgemm(void);
void cblas_cgemm(void);

static const struct {
    const char *name;
    void (*function)(void);
} products[] = {
    {"cblas_sgemm", cblas_sgemm}, {"cblas_dgemm", cblas_dgemm}, {"cblas_cgemm", cblas_cgemm}};

static int point(ElfW(Addr) slot, void (*function)(void)) {
    long page = sysconf(_SC_PAGESIZE);
    /* The loader may have made the table read-only; it stays writable, which harms nothing. */
    if (mprotect((void *)(slot & ~(ElfW(Addr))(page - 1)), page, PROT_READ | PROT_WRITE) != 0)
        return 0;
    *(ElfW(Addr) *)slot = (ElfW(Addr))(uintptr_t)function;
    return 1;
}

static int redirect_library(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    const char *file = strrchr(info->dlpi_name, '/');
    if (file == NULL || strncmp(file, "/libmlx.", 8) != 0) return 0;
    const ElfW(Dyn) *entry = NULL;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            entry = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    const ElfW(Rela) *records[2] = {NULL, NULL};
    size_t sizes[2] = {0, 0};
    for (; entry != NULL && entry->d_tag != DT_NULL; entry++) {
        /* The C library has turned these offsets into addresses. */
        const void *address = (const void *)(uintptr_t)entry->d_un.d_ptr;
        if (entry->d_tag == DT_SYMTAB) symbols = address;
        if (entry->d_tag == DT_STRTAB) names = address;
        if (entry->d_tag == DT_JMPREL) records[0] = address;
        if (entry->d_tag == DT_PLTRELSZ) sizes[0] = entry->d_un.d_val;
        if (entry->d_tag == DT_RELA) records[1] = address;
        if (entry->d_tag == DT_RELASZ) sizes[1] = entry->d_un.d_val;
    }
    if (symbols == NULL || names == NULL) return 0;
    for (int part = 0; part < 2; part++)
        for (size_t i = 0; records[part] != NULL && i < sizes[part] / sizeof *records[part]; i++) {
            const ElfW(Rela) *record = &records[part][i];
            const char *name = names + symbols[ELF64_R_SYM(record->r_info)].st_name;
            for (size_t p = 0; p < sizeof products / sizeof *products; p++)
                if (strcmp(name, products[p].name) == 0)
                    *(int *)context += point(info->dlpi_addr + record->r_offset,
                                             products[p].function);
        }
    return 0;
}

int late_redirect(void) {
    int changed = 0;
#if __SIZEOF_POINTER__ == 8
    dl_iterate_phdr(redirect_library, &changed);
#endif
    return changed;
}
