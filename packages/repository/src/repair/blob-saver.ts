// Puts blobs of both kinds into new packs, in this thread: for repairs, which write little.

import type { BlobType } from '../pack/blob-type.ts';
import { PackBuilder } from '../pack/pack-builder.ts';
import type { PackUploader } from '../pack/pack-uploader.ts';
import type { Repository } from '../repository.ts';

export class BlobSaver {
  readonly #builders: Readonly<Record<BlobType, PackBuilder>>;
  readonly #uploader: PackUploader;

  constructor({ engine, key }: Repository, uploader: PackUploader) {
    const builder = (type: BlobType): PackBuilder => new PackBuilder({ engine, key, type, verify: true });
    this.#builders = { data: builder('data'), tree: builder('tree') };
    this.#uploader = uploader;
  }

  /** `id` is the hash of `plaintext`, 64 hex digits. */
  async add(type: BlobType, id: string, plaintext: Uint8Array): Promise<void> {
    const builder = this.#builders[type];
    if (builder.wantsOwnPack(plaintext.length)) await this.#uploader.add(builder.finish());
    builder.add(Buffer.from(id, 'hex'), plaintext);
    if (builder.isFull) await this.#uploader.add(builder.finish());
  }

  /** Resolves when everything is durable and in a durable index file. */
  async flush(): Promise<void> {
    for (const builder of Object.values(this.#builders)) {
      if (builder.blobCount > 0) await this.#uploader.add(builder.finish());
    }
    await this.#uploader.flush();
  }
}
