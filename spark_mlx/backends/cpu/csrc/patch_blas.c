/* Make a loaded MLX call the matrix products of blas.c.

   Input: the libraries of this process whose file is libmlx.*. Output: the number of changed
   entries. A shared library calls others through a table of addresses (the global offset table),
   which the loader filled when MLX was imported. The library's relocation records (ELF, System V
   ABI) name the entry of each imported function; those of the three products are overwritten.
   Threads that compute meanwhile see the old or the new address: an entry is one aligned word. */
#define _GNU_SOURCE
#include "patch_blas.h"

#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blas.h"

typedef void any_function(void);

static const struct {
    const char *name;
    any_function *function;
} products[] = {{"cblas_sgemm", (any_function *)blas_sgemm},
                {"cblas_dgemm", (any_function *)blas_dgemm},
                {"cblas_cgemm", (any_function *)blas_cgemm}};

/* Read the protection of the page at `address` from the kernel's list of mappings; -1 if unknown.
 */
static int protection_of(uintptr_t address) {
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL) return -1;
    char line[512];
    int protection = -1, line_begins = 1;
    while (protection < 0 && fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        char mode[5];
        int parsed = line_begins && sscanf(line, "%lx-%lx %4s", &from, &to, mode) == 3;
        line_begins = strchr(line, '\n') != NULL;
        if (!parsed || address < from || address >= to) continue;
        protection = (mode[0] == 'r' ? PROT_READ : 0) | (mode[1] == 'w' ? PROT_WRITE : 0) |
                     (mode[2] == 'x' ? PROT_EXEC : 0);
    }
    fclose(maps);
    return protection;
}

/* Store `function` in a table entry, making its page writable for the moment if it is not. */
static int store(uintptr_t slot, any_function *function) {
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = (void *)(slot & ~(uintptr_t)(size - 1));
    int before = protection_of(slot);
    if (before < 0 || (before & PROT_EXEC) != 0) return 0;
    int is_protected = (before & PROT_WRITE) == 0;
    if (is_protected && mprotect(page, size, PROT_READ | PROT_WRITE) != 0) return 0;
    __atomic_store_n((uintptr_t *)slot, (uintptr_t)function, __ATOMIC_RELEASE);
    if (is_protected) mprotect(page, size, before);
    return 1;
}

static int is_mlx(const char *path) {
    const char *file = strrchr(path, '/');
    return file != NULL && strncmp(file, "/libmlx.", 8) == 0;
}

/* Patch one library; called by dl_iterate_phdr for each. */
static int patch_library(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    if (!is_mlx(info->dlpi_name)) return 0;
    const ElfW(Dyn) *entry = NULL;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            entry = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    const ElfW(Rela) * records[2] = {NULL, NULL};
    size_t sizes[2] = {0, 0};
    for (; entry != NULL && entry->d_tag != DT_NULL; entry++) {
        /* glibc has turned these offsets into addresses, other C libraries leave them. */
        uintptr_t address = entry->d_un.d_ptr;
        if (address < info->dlpi_addr) address += info->dlpi_addr;
        if (entry->d_tag == DT_SYMTAB) symbols = (const ElfW(Sym) *)address;
        if (entry->d_tag == DT_STRTAB) names = (const char *)address;
        if (entry->d_tag == DT_JMPREL) records[0] = (const ElfW(Rela) *)address;
        if (entry->d_tag == DT_PLTRELSZ) sizes[0] = entry->d_un.d_val;
        if (entry->d_tag == DT_RELA) records[1] = (const ElfW(Rela) *)address;
        if (entry->d_tag == DT_RELASZ) sizes[1] = entry->d_un.d_val;
    }
    if (symbols == NULL || names == NULL) return 0;
    for (int table = 0; table < 2; table++) {
        if (records[table] == NULL) continue;
        for (size_t i = 0; i < sizes[table] / sizeof **records; i++) {
            const ElfW(Rela) *record = &records[table][i];
            const char *name = names + symbols[ELF64_R_SYM(record->r_info)].st_name;
            for (size_t p = 0; p < sizeof products / sizeof *products; p++)
                if (strcmp(name, products[p].name) == 0)
                    *(int *)context +=
                        store(info->dlpi_addr + record->r_offset, products[p].function);
        }
    }
    return 0;
}

int patch_blas(void) {
    int changed = 0;
#if __SIZEOF_POINTER__ == 8
    dl_iterate_phdr(patch_library, &changed);
#endif
    return changed;
}
