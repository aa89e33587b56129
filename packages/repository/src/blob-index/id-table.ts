// Numbered rows under 32-byte ids, in shared memory that grows where it is: nothing is ever copied, so growing needs no second
// copy. One thread adds rows and never changes or removes any; threads that attach see every row as soon as it is added.
// An id may have several rows. Open addressing with linear probing; ids are hashes, so their own words serve as hash.

import { AppError } from '@varve/base';

/** What a worker thread needs to attach; structured-cloneable. */
export interface SharedIdTable {
  readonly rows: SharedArrayBuffer;
  readonly slots: SharedArrayBuffer;
  readonly state: SharedArrayBuffer;
}

export interface IdTableShape {
  /** Words of a row, the 8 of its id included. */
  readonly rowWords: number;
  /** At most 2^27. Only address space is reserved for them, memory comes with use. */
  readonly maxRows: number;
}

const idWords = 8;
const idBytes = 32;
// A slot: the number of a row plus one, and four bits of its id above, so that rows of other ids are seldom looked at.
const rowBits = 0x0fffffff;
const firstSlots = 2048;
const fullestLoad = 0.75;
const growthBytes = 64 * 1024;

const countWord = 0;
/** Odd while the slots are filled anew; another number after anything has grown. */
const generationWord = 1;
const slotsWord = 2;
const stateWords = 3;
const rebuildTimeoutMs = 60_000;

export class IdTable {
  readonly #shape: IdTableShape;
  readonly #shared: SharedIdTable;
  readonly #state: Int32Array;
  // Views of fixed length, made anew when the memory has grown: reading through a view that tracks growth is slow.
  #rows: Uint32Array;
  #rowBytes: Buffer;
  #slots: Int32Array;
  #generation = 0;
  /** Where the last search ended in vain: there a row with the key belongs. */
  #freeSlot = 0;
  readonly #keyBytes = Buffer.alloc(idBytes);
  readonly #key = new Uint32Array(this.#keyBytes.buffer, this.#keyBytes.byteOffset, idWords);

  /** A new table, or with `shared` a read-only view of one of the same shape. */
  constructor(shape: IdTableShape, shared?: SharedIdTable) {
    this.#shape = shape;
    this.#shared = shared ?? createShared(shape);
    this.#state = new Int32Array(this.#shared.state);
    this.#rows = new Uint32Array(0);
    this.#rowBytes = Buffer.alloc(0);
    this.#slots = new Int32Array(0);
    this.#makeViews();
  }

  share(): SharedIdTable {
    return this.#shared;
  }

  get count(): number {
    return Atomics.load(this.#state, countWord);
  }

  /** The id that is searched and added next: 32 bytes or 64 hex digits. USAGE_INVALID for anything else. */
  setKey(id: string | Uint8Array): void {
    const written = typeof id === 'string' ? (id.length === 64 ? this.#keyBytes.write(id, 'hex') : 0) : id.length;
    if (written !== idBytes) throw new AppError('USAGE_INVALID', 'A blob id has 32 bytes or 64 hex digits.');
    if (typeof id !== 'string') this.#keyBytes.set(id);
  }

  /** The same from the words of an id. */
  setKeyWords(words: Uint32Array, start: number): void {
    for (let word = 0; word < idWords; word++) this.#key[word] = words[start + word]!;
  }

  /** The same from a row. */
  setKeyOf(row: number): void {
    for (let word = 0; word < idWords; word++) this.#key[word] = this.word(row, word);
  }

  /** The first row of the key after row `after`, or -1. Rows of one id are found in the order in which they were added. */
  find(after = -1): number {
    for (;;) {
      if (Atomics.load(this.#state, generationWord) !== this.#generation) this.#makeViews();
      const generation = this.#generation;
      const row = this.#probe(after);
      if (Atomics.load(this.#state, generationWord) === generation) return row;
    }
  }

  /** A word of a row that {@link IdTable.find} or {@link IdTable.append} has yielded, or below the count. */
  word(row: number, word: number): number {
    const value = this.#rows[row * this.#shape.rowWords + word];
    if (value !== undefined) return value;
    this.#makeViews();
    return this.#rows[row * this.#shape.rowWords + word]!;
  }

  /** The id of a row as hex digits. */
  hexId(row: number): string {
    const start = row * this.#shape.rowWords * 4;
    if (start + idBytes > this.#rowBytes.length) this.#makeViews();
    return this.#rowBytes.toString('hex', start, start + idBytes);
  }

  /** Adds a row under the key, which {@link IdTable.find} has just searched to its end, and yields its number. */
  append(values: Uint32Array): number {
    const row = this.count;
    if (this.#growFor(row + 1)) this.find(row);
    const start = row * this.#shape.rowWords;
    for (let word = 0; word < idWords; word++) this.#rows[start + word] = this.#key[word]!;
    for (let word = 0; word < values.length; word++) this.#rows[start + idWords + word] = values[word]!;
    Atomics.store(this.#state, countWord, row + 1);
    // Last, so that a reader in another thread never follows a slot to a row that is not there yet.
    Atomics.store(this.#slots, this.#freeSlot, slotOf(row, this.#key[1]!));
    return row;
  }

  /** Makes room for this many more rows at once. */
  reserve(rows: number): void {
    this.#growFor(this.count + rows);
  }

  #probe(after: number): number {
    const slots = this.#slots;
    const rows = this.#rows;
    const key = this.#key;
    const mask = slots.length - 1;
    const first = key[0]!;
    const tag = tagOf(key[1]!);
    for (let position = first & mask; ; position = (position + 1) & mask) {
      const slot = Atomics.load(slots, position);
      if (slot === 0) {
        this.#freeSlot = position;
        return -1;
      }
      if ((slot & ~rowBits) !== tag) continue;
      const row = (slot & rowBits) - 1;
      const start = row * this.#shape.rowWords;
      if (rows[start] !== first || row <= after) continue;
      let equal = 1;
      while (equal < idWords && rows[start + equal] === key[equal]) equal++;
      if (equal === idWords) return row;
    }
  }

  /** Views of the memory as large as it is now; waits while the slots are filled anew. */
  #makeViews(): void {
    let generation = Atomics.load(this.#state, generationWord);
    while ((generation & 1) === 1) {
      if (Atomics.wait(this.#state, generationWord, generation, rebuildTimeoutMs) === 'timed-out')
        throw new AppError('INTERNAL', 'The thread that fills the index ended while the index was growing.');
      generation = Atomics.load(this.#state, generationWord);
    }
    const { rows, slots } = this.#shared;
    this.#rows = new Uint32Array(rows, 0, rows.byteLength / 4);
    this.#rowBytes = Buffer.from(rows, 0, rows.byteLength);
    this.#slots = new Int32Array(slots, 0, Atomics.load(this.#state, slotsWord));
    this.#generation = generation;
  }

  /** Whether anything had to grow. */
  #growFor(count: number): boolean {
    const { rowWords, maxRows } = this.#shape;
    const { rows } = this.#shared;
    const neededBytes = count * rowWords * 4;
    const growsRows = neededBytes > rows.byteLength;
    const growsSlots = count > this.#slots.length * fullestLoad;
    if (!growsRows && !growsSlots) return false;
    if (count > maxRows) throw new AppError('INTERNAL', `An index cannot hold more than ${maxRows} entries.`);
    if (growsRows) {
      const wanted = Math.max(neededBytes, rows.byteLength + rows.byteLength / 8);
      rows.grow(Math.min(Math.ceil(wanted / growthBytes) * growthBytes, rows.maxByteLength));
    }
    Atomics.add(this.#state, generationWord, 1);
    try {
      if (growsSlots) this.#fillSlots(slotsFor(count));
    } finally {
      Atomics.add(this.#state, generationWord, 1);
      Atomics.notify(this.#state, generationWord);
      this.#makeViews();
    }
    return true;
  }

  #fillSlots(length: number): void {
    const { rows: rowMemory, slots: slotMemory } = this.#shared;
    if (length * 4 > slotMemory.byteLength) slotMemory.grow(length * 4);
    const slots = new Int32Array(slotMemory, 0, length).fill(0);
    const rows = new Uint32Array(rowMemory, 0, rowMemory.byteLength / 4);
    const mask = length - 1;
    const { rowWords } = this.#shape;
    const count = this.count;
    for (let row = 0; row < count; row++) {
      const start = row * rowWords;
      let position = rows[start]! & mask;
      while (slots[position] !== 0) position = (position + 1) & mask;
      slots[position] = slotOf(row, rows[start + 1]!);
    }
    Atomics.store(this.#state, slotsWord, length);
  }
}

function tagOf(word: number): number {
  return word << 28;
}

function slotOf(row: number, word: number): number {
  return (row + 1) | tagOf(word);
}

/** A power of two. */
function slotsFor(count: number): number {
  let slots = firstSlots;
  while (count > slots * fullestLoad) slots *= 2;
  return slots;
}

function createShared({ rowWords, maxRows }: IdTableShape): SharedIdTable {
  const rowBytes = rowWords * 4;
  const state = new SharedArrayBuffer(stateWords * 4);
  new Int32Array(state)[slotsWord] = firstSlots;
  return {
    rows: new SharedArrayBuffer(growthBytes, { maxByteLength: Math.max(growthBytes, maxRows * rowBytes) }),
    slots: new SharedArrayBuffer(firstSlots * 4, { maxByteLength: slotsFor(maxRows) * 4 }),
    state,
  };
}
