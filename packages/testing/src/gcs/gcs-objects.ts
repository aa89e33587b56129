// What a Cloud Storage server remembers: buckets, and in them objects with a generation, in the order of their names.

import { createHash } from 'node:crypto';
import { crc32cOf } from './crc32c.ts';

export interface GcsObject {
  readonly bucket: string;
  readonly name: string;
  readonly data: Buffer;
  /** New with every object that is written, as a decimal number. */
  readonly generation: string;
  readonly contentType: string;
  readonly updated: string;
  readonly md5Hash: string;
  readonly crc32c: string;
}

export class GcsObjects {
  readonly #buckets = new Map<string, Map<string, GcsObject>>();
  #generation = 1_700_000_000_000_000n;

  has(bucket: string): boolean {
    return this.#buckets.has(bucket);
  }

  /** False when it is there already. */
  addBucket(bucket: string): boolean {
    if (this.has(bucket)) return false;
    this.#buckets.set(bucket, new Map());
    return true;
  }

  find(bucket: string, name: string): GcsObject | undefined {
    return this.#buckets.get(bucket)?.get(name);
  }

  put(bucket: string, name: string, data: Buffer, contentType: string): GcsObject {
    const object = {
      bucket,
      name,
      data,
      generation: String(++this.#generation),
      contentType,
      updated: new Date().toISOString(),
      md5Hash: createHash('md5').update(data).digest('base64'),
      crc32c: crc32cOf(data),
    };
    this.#buckets.get(bucket)?.set(name, object);
    return object;
  }

  remove(bucket: string, name: string): boolean {
    return this.#buckets.get(bucket)?.delete(name) ?? false;
  }

  /** Names that begin with `prefix` and come after `after`, in order. */
  list(bucket: string, prefix: string, after: string): GcsObject[] {
    const found = [...(this.#buckets.get(bucket)?.values() ?? [])];
    return found
      .filter(({ name }) => name.startsWith(prefix) && name > after)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}
