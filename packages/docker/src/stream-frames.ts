// Docker's multiplexed stream of a container without terminal: frames of an 8-byte header (stream type, three zero bytes,
// big-endian length) and payload. A pure incremental decoder. Source: Docker Engine API, ContainerAttach, "Stream format".

import { AppError } from '@varve/base';

const headerSize = 8;

export interface FramePiece {
  readonly stream: 'stdout' | 'stderr';
  /** A view into the chunk that was pushed; frames may come in several pieces. */
  readonly data: Uint8Array;
}

/** Feed it chunks as they come; it keeps at most one header. */
export class FrameDecoder {
  readonly #header = new Uint8Array(headerSize);
  #headerFilled = 0;
  #payloadLeft = 0;
  #stream: FramePiece['stream'] = 'stdout';

  /** True between frames: the only place where the stream may end. */
  get isAtBoundary(): boolean {
    return this.#headerFilled === 0 && this.#payloadLeft === 0;
  }

  /** The payload pieces of one chunk, in order. Throws DOCKER_REQUEST_FAILED on a header that is none. */
  push(chunk: Uint8Array): readonly FramePiece[] {
    const pieces: FramePiece[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const end = Math.min(chunk.length, at + this.#payloadLeft);
        pieces.push({ stream: this.#stream, data: chunk.subarray(at, end) });
        this.#payloadLeft -= end - at;
        at = end;
        continue;
      }
      const take = Math.min(headerSize - this.#headerFilled, chunk.length - at);
      this.#header.set(chunk.subarray(at, at + take), this.#headerFilled);
      this.#headerFilled += take;
      at += take;
      if (this.#headerFilled === headerSize) this.#readHeader();
    }
    return pieces;
  }

  #readHeader(): void {
    const [type = 0, ...zeroes] = this.#header.subarray(0, 4);
    if (type > 2 || zeroes.some((byte) => byte !== 0)) {
      throw new AppError(
        'DOCKER_REQUEST_FAILED',
        `Docker sent a stream frame of unknown type ${type}; is the container's output multiplexed?`,
      );
    }
    this.#stream = type === 2 ? 'stderr' : 'stdout';
    this.#payloadLeft = new DataView(this.#header.buffer).getUint32(4);
    this.#headerFilled = 0;
  }
}
