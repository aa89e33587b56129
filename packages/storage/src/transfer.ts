// Bytes on their way: in steps that a watchdog can count and a limit on the rate can hold back.

import type { OnTransfer } from './contract.ts';

const stepBytes = 64 * 1024;

/** One list of parts, whatever was given, and its length. */
export function partsOf(data: Uint8Array | readonly Uint8Array[]): { parts: readonly Uint8Array[]; sizeBytes: number } {
  const parts = data instanceof Uint8Array ? [data] : data;
  return { parts, sizeBytes: parts.reduce((sum, part) => sum + part.length, 0) };
}

/** The parts in steps of 64 KiB, each announced before it goes. */
export async function* steps(
  parts: readonly Uint8Array[],
  onTransfer: OnTransfer | undefined,
): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    for (let offset = 0; offset < part.length; offset += stepBytes) {
      const step = part.subarray(offset, offset + stepBytes);
      await onTransfer?.(step.length);
      yield step;
    }
  }
}

/** Reads a stream to its end, announcing what comes. `limitBytes` bounds what is kept; more than that is an error. */
export async function collect(
  stream: AsyncIterable<Uint8Array>,
  options: { readonly onTransfer?: OnTransfer | undefined; readonly limitBytes?: number | undefined },
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream) {
    sizeBytes += chunk.length;
    if (sizeBytes > (options.limitBytes ?? Infinity)) throw new Error(`more than ${options.limitBytes} bytes came`);
    chunks.push(chunk);
    await options.onTransfer?.(chunk.length);
  }
  return Buffer.concat(chunks, sizeBytes);
}
