// The hot loop of the chunker, compiled to WebAssembly by scripts/build-wasm.ts. Memory: two tables of 256 u64 at
// TABLE_OUT and TABLE_MOD, data from the second page on. The rolling hash of a position depends on the 64 bytes before it
// only, so four lanes of a stride are hashed side by side to hide the latency of the table look-up.

const TABLE_OUT: usize = 1024;
const TABLE_MOD: usize = 3072;
const WINDOW: usize = 64;
const MASK: u64 = (1 << 20) - 1;
/** Degree 53 less one byte: the bits that the next shift pushes out. */
const TOP_SHIFT: u64 = 45;
const LANE: usize = 8192;
const STRIDE: usize = LANE * 4;

function slide(digest: u64, incoming: u64, outgoing: u64): u64 {
  return (
    (digest << 8) ^
    incoming ^
    load<u64>(TABLE_OUT + ((<usize>outgoing) << 3)) ^
    load<u64>(TABLE_MOD + ((<usize>(digest >> TOP_SHIFT)) << 3))
  );
}

/** The hash of the 64 bytes before `end`. */
function hashBefore(end: usize): u64 {
  let digest: u64 = 0;
  for (let at = end - WINDOW; at < end; at++) digest = slide(digest, load<u8>(at), 0);
  return digest;
}

function scan(from: usize, end: usize): usize {
  let digest = hashBefore(from);
  for (let at = from; at < end; at++) {
    digest = slide(digest, load<u8>(at), load<u8>(at - WINDOW));
    if ((digest & MASK) === 0) return at + 1;
  }
  return 0;
}

/**
 * The first position in (from, end] whose preceding 64 bytes hash to zero under the mask, 0 when there is none. The caller
 * guarantees 64 readable bytes before `from`. `from` itself is looked at only when `inclusive`.
 */
export function find(from: usize, end: usize, inclusive: bool): usize {
  if (inclusive && (hashBefore(from) & MASK) === 0) return from;
  let at = from;
  while (at + STRIDE <= end) {
    let d0 = hashBefore(at);
    let d1 = hashBefore(at + LANE);
    let d2 = hashBefore(at + 2 * LANE);
    let d3 = hashBefore(at + 3 * LANE);
    const laneEnd = at + LANE;
    let first = end + 1;
    let p = at;
    for (; p < laneEnd; p++) {
      d0 = slide(d0, load<u8>(p), load<u8>(p - WINDOW));
      d1 = slide(d1, load<u8>(p + LANE), load<u8>(p + LANE - WINDOW));
      d2 = slide(d2, load<u8>(p + 2 * LANE), load<u8>(p + 2 * LANE - WINDOW));
      d3 = slide(d3, load<u8>(p + 3 * LANE), load<u8>(p + 3 * LANE - WINDOW));
      if ((d0 & MASK) === 0) return p + 1;
      // A hit in a later lane counts only if no earlier lane hits afterwards: then scan the stride in order.
      if ((d1 & MASK) === 0 || (d2 & MASK) === 0 || (d3 & MASK) === 0) {
        first = 0;
        break;
      }
    }
    if (first === 0) return scan(at, at + STRIDE);
    at += STRIDE;
  }
  return scan(at, end);
}

/** True when all bytes of [from, end) are zero. */
export function isZero(from: usize, end: usize): bool {
  let at = from;
  while (at + 8 <= end) {
    if (load<u64>(at) !== 0) return false;
    at += 8;
  }
  while (at < end) {
    if (load<u8>(at) !== 0) return false;
    at++;
  }
  return true;
}
