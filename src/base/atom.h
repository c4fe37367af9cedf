#ifndef BASE_ATOM_H
#define BASE_ATOM_H

#include <stdatomic.h>

/*
 * Atomic access by the name of its order. Each use weaker than sequential has a comment
 * that names its partner.
 */
#define atom_load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define atom_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define atom_store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define atom_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define atom_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define atom_add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define atom_sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)

#endif
