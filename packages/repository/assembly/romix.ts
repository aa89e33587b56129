// scrypt's ROMix (RFC 7914, section 5), compiled to WebAssembly by scripts/build-wasm.ts. The words of a 64-byte block lie as its
// diagonals, so that a quarter round of Salsa20 is four vector operations: word i of the memory is word 5·i mod 16 of the RFC's.
// Two lanes are mixed side by side where there are two: alone, each operation waits for the one before it.

function rotate(value: v128, bits: i32): v128 {
  return v128.or(i32x4.shl(value, bits), i32x4.shr_u(value, 32 - bits));
}

/** Salsa20/8 over each of the 2·r blocks of `source` (with `other` added by exclusive or), to `target`. */
function mixOne(source: usize, other: usize, target: usize, r: usize): void {
  const last = source + (r * 128 - 64);
  let a0 = v128.load(last);
  let a1 = v128.load(last, 16);
  let a2 = v128.load(last, 32);
  let a3 = v128.load(last, 48);
  if (other) {
    const mask = other + (r * 128 - 64);
    a0 = v128.xor(a0, v128.load(mask));
    a1 = v128.xor(a1, v128.load(mask, 16));
    a2 = v128.xor(a2, v128.load(mask, 32));
    a3 = v128.xor(a3, v128.load(mask, 48));
  }
  for (let i: usize = 0; i < 2 * r; i++) {
    const at = source + (i << 6);
    a0 = v128.xor(a0, v128.load(at));
    a1 = v128.xor(a1, v128.load(at, 16));
    a2 = v128.xor(a2, v128.load(at, 32));
    a3 = v128.xor(a3, v128.load(at, 48));
    if (other) {
      const mask = other + (i << 6);
      a0 = v128.xor(a0, v128.load(mask));
      a1 = v128.xor(a1, v128.load(mask, 16));
      a2 = v128.xor(a2, v128.load(mask, 32));
      a3 = v128.xor(a3, v128.load(mask, 48));
    }
    const a0s = a0;
    const a1s = a1;
    const a2s = a2;
    const a3s = a3;
    for (let round = 0; round < 4; round++) {
      a1 = v128.xor(a1, rotate(i32x4.add(a0, a3), 7));
      a2 = v128.xor(a2, rotate(i32x4.add(a1, a0), 9));
      a3 = v128.xor(a3, rotate(i32x4.add(a2, a1), 13));
      a0 = v128.xor(a0, rotate(i32x4.add(a3, a2), 18));
      a1 = i32x4.shuffle(a1, a1, 3, 0, 1, 2);
      a2 = i32x4.shuffle(a2, a2, 2, 3, 0, 1);
      a3 = i32x4.shuffle(a3, a3, 1, 2, 3, 0);
      a3 = v128.xor(a3, rotate(i32x4.add(a0, a1), 7));
      a2 = v128.xor(a2, rotate(i32x4.add(a3, a0), 9));
      a1 = v128.xor(a1, rotate(i32x4.add(a2, a3), 13));
      a0 = v128.xor(a0, rotate(i32x4.add(a1, a2), 18));
      a1 = i32x4.shuffle(a1, a1, 1, 2, 3, 0);
      a2 = i32x4.shuffle(a2, a2, 2, 3, 0, 1);
      a3 = i32x4.shuffle(a3, a3, 3, 0, 1, 2);
    }
    a0 = i32x4.add(a0, a0s);
    a1 = i32x4.add(a1, a1s);
    a2 = i32x4.add(a2, a2s);
    a3 = i32x4.add(a3, a3s);
    const to = target + (((i >> 1) + (i & 1) * r) << 6);
    v128.store(to, a0);
    v128.store(to, a1, 16);
    v128.store(to, a2, 32);
    v128.store(to, a3, 48);
  }
}

/** As {@link mixOne}, for two lanes whose blocks are `lane` bytes apart; `otherA` and `otherB` both or none. */
function mixTwo(
  source: usize,
  sourceB: usize,
  other: usize,
  otherB: usize,
  target: usize,
  targetB: usize,
  r: usize,
): void {
  const end = r * 128 - 64;
  let a0 = v128.load(source + end);
  let a1 = v128.load(source + end, 16);
  let a2 = v128.load(source + end, 32);
  let a3 = v128.load(source + end, 48);
  let b0 = v128.load(sourceB + end);
  let b1 = v128.load(sourceB + end, 16);
  let b2 = v128.load(sourceB + end, 32);
  let b3 = v128.load(sourceB + end, 48);
  if (other) {
    a0 = v128.xor(a0, v128.load(other + end));
    a1 = v128.xor(a1, v128.load(other + end, 16));
    a2 = v128.xor(a2, v128.load(other + end, 32));
    a3 = v128.xor(a3, v128.load(other + end, 48));
    b0 = v128.xor(b0, v128.load(otherB + end));
    b1 = v128.xor(b1, v128.load(otherB + end, 16));
    b2 = v128.xor(b2, v128.load(otherB + end, 32));
    b3 = v128.xor(b3, v128.load(otherB + end, 48));
  }
  for (let i: usize = 0; i < 2 * r; i++) {
    const step = i << 6;
    a0 = v128.xor(a0, v128.load(source + step));
    a1 = v128.xor(a1, v128.load(source + step, 16));
    a2 = v128.xor(a2, v128.load(source + step, 32));
    a3 = v128.xor(a3, v128.load(source + step, 48));
    b0 = v128.xor(b0, v128.load(sourceB + step));
    b1 = v128.xor(b1, v128.load(sourceB + step, 16));
    b2 = v128.xor(b2, v128.load(sourceB + step, 32));
    b3 = v128.xor(b3, v128.load(sourceB + step, 48));
    if (other) {
      a0 = v128.xor(a0, v128.load(other + step));
      a1 = v128.xor(a1, v128.load(other + step, 16));
      a2 = v128.xor(a2, v128.load(other + step, 32));
      a3 = v128.xor(a3, v128.load(other + step, 48));
      b0 = v128.xor(b0, v128.load(otherB + step));
      b1 = v128.xor(b1, v128.load(otherB + step, 16));
      b2 = v128.xor(b2, v128.load(otherB + step, 32));
      b3 = v128.xor(b3, v128.load(otherB + step, 48));
    }
    const a0s = a0;
    const a1s = a1;
    const a2s = a2;
    const a3s = a3;
    const b0s = b0;
    const b1s = b1;
    const b2s = b2;
    const b3s = b3;
    for (let round = 0; round < 4; round++) {
      a1 = v128.xor(a1, rotate(i32x4.add(a0, a3), 7));
      b1 = v128.xor(b1, rotate(i32x4.add(b0, b3), 7));
      a2 = v128.xor(a2, rotate(i32x4.add(a1, a0), 9));
      b2 = v128.xor(b2, rotate(i32x4.add(b1, b0), 9));
      a3 = v128.xor(a3, rotate(i32x4.add(a2, a1), 13));
      b3 = v128.xor(b3, rotate(i32x4.add(b2, b1), 13));
      a0 = v128.xor(a0, rotate(i32x4.add(a3, a2), 18));
      b0 = v128.xor(b0, rotate(i32x4.add(b3, b2), 18));
      a1 = i32x4.shuffle(a1, a1, 3, 0, 1, 2);
      b1 = i32x4.shuffle(b1, b1, 3, 0, 1, 2);
      a2 = i32x4.shuffle(a2, a2, 2, 3, 0, 1);
      b2 = i32x4.shuffle(b2, b2, 2, 3, 0, 1);
      a3 = i32x4.shuffle(a3, a3, 1, 2, 3, 0);
      b3 = i32x4.shuffle(b3, b3, 1, 2, 3, 0);
      a3 = v128.xor(a3, rotate(i32x4.add(a0, a1), 7));
      b3 = v128.xor(b3, rotate(i32x4.add(b0, b1), 7));
      a2 = v128.xor(a2, rotate(i32x4.add(a3, a0), 9));
      b2 = v128.xor(b2, rotate(i32x4.add(b3, b0), 9));
      a1 = v128.xor(a1, rotate(i32x4.add(a2, a3), 13));
      b1 = v128.xor(b1, rotate(i32x4.add(b2, b3), 13));
      a0 = v128.xor(a0, rotate(i32x4.add(a1, a2), 18));
      b0 = v128.xor(b0, rotate(i32x4.add(b1, b2), 18));
      a1 = i32x4.shuffle(a1, a1, 1, 2, 3, 0);
      b1 = i32x4.shuffle(b1, b1, 1, 2, 3, 0);
      a2 = i32x4.shuffle(a2, a2, 2, 3, 0, 1);
      b2 = i32x4.shuffle(b2, b2, 2, 3, 0, 1);
      a3 = i32x4.shuffle(a3, a3, 3, 0, 1, 2);
      b3 = i32x4.shuffle(b3, b3, 3, 0, 1, 2);
    }
    a0 = i32x4.add(a0, a0s);
    a1 = i32x4.add(a1, a1s);
    a2 = i32x4.add(a2, a2s);
    a3 = i32x4.add(a3, a3s);
    b0 = i32x4.add(b0, b0s);
    b1 = i32x4.add(b1, b1s);
    b2 = i32x4.add(b2, b2s);
    b3 = i32x4.add(b3, b3s);
    const to = ((i >> 1) + (i & 1) * r) << 6;
    v128.store(target + to, a0);
    v128.store(target + to, a1, 16);
    v128.store(target + to, a2, 32);
    v128.store(target + to, a3, 48);
    v128.store(targetB + to, b0);
    v128.store(targetB + to, b1, 16);
    v128.store(targetB + to, b2, 32);
    v128.store(targetB + to, b3, 48);
  }
}

/** Mixes the 128·r bytes at `block` in place. `table` has room for n + 1 such blocks; n is a power of two. */
export function romixOne(block: usize, table: usize, n: usize, r: usize): void {
  const size = r << 7;
  const spare = table + n * size;
  memory.copy(table, block, size);
  for (let i: usize = 1; i < n; i++) mixOne(table + (i - 1) * size, 0, table + i * size, r);
  mixOne(table + (n - 1) * size, 0, block, r);
  for (let i: usize = 0; i < n; i += 2) {
    const first = <usize>load<u32>(block + size - 64) & (n - 1);
    mixOne(block, table + first * size, spare, r);
    const second = <usize>load<u32>(spare + size - 64) & (n - 1);
    mixOne(spare, table + second * size, block, r);
  }
}

/** Mixes the block at `block` and the one after it, each with a table of its own, one after the other at `table`. */
export function romixTwo(block: usize, table: usize, n: usize, r: usize): void {
  const size = r << 7;
  const blockB = block + size;
  const tableB = table + (n + 1) * size;
  const spare = table + n * size;
  const spareB = tableB + n * size;
  memory.copy(table, block, size);
  memory.copy(tableB, blockB, size);
  for (let i: usize = 1; i < n; i++) {
    const from = (i - 1) * size;
    mixTwo(table + from, tableB + from, 0, 0, table + i * size, tableB + i * size, r);
  }
  const last = (n - 1) * size;
  mixTwo(table + last, tableB + last, 0, 0, block, blockB, r);
  for (let i: usize = 0; i < n; i += 2) {
    const first = <usize>load<u32>(block + size - 64) & (n - 1);
    const firstB = <usize>load<u32>(blockB + size - 64) & (n - 1);
    mixTwo(block, blockB, table + first * size, tableB + firstB * size, spare, spareB, r);
    const second = <usize>load<u32>(spare + size - 64) & (n - 1);
    const secondB = <usize>load<u32>(spareB + size - 64) & (n - 1);
    mixTwo(spare, spareB, table + second * size, tableB + secondB * size, block, blockB, r);
  }
}
