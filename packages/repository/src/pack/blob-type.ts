// The two kinds of blobs and their type bytes in a pack's header.

/** `data`: a chunk of a file; `tree`: the listing of a folder. A tree and a data blob may share an id. */
export type BlobType = 'data' | 'tree';

/** A blob as a pack's header lists it. */
export interface PackedBlob {
  readonly type: BlobType;
  /** SHA-256 of the plaintext, 64 hex digits. */
  readonly id: string;
  /** First byte in the pack. */
  readonly offset: number;
  /** Stored bytes, the 32 of the encryption unit included. */
  readonly length: number;
  /** Plaintext bytes of a compressed blob; 0 when it is not compressed. */
  readonly uncompressedLength: number;
}

const hexId = /^[0-9a-f]{64}$/;

/** Whether a text is an id or a file name of a repository: 64 lowercase hex digits. */
export function isHexId(text: unknown): text is string {
  return typeof text === 'string' && hexId.test(text);
}
