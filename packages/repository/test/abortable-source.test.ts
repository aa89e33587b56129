import { expect, test } from 'vitest';
import { abortable } from '../src/archive/abortable-source.ts';

async function* silentAfter(...pieces: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield Buffer.from(piece);
  await new Promise(() => {});
}

test('an abort ends a stream that is silent, after what it had yielded', async () => {
  const abort = new AbortController();
  const seen: string[] = [];
  const read = (async () => {
    for await (const piece of abortable(silentAfter('a', 'b'), abort.signal)) seen.push(Buffer.from(piece).toString());
  })();
  await expect.poll(() => seen).toEqual(['a', 'b']);
  abort.abort();
  await expect(read).rejects.toMatchObject({ code: 'CANCELLED' });
});

test('a consumer that leaves early ends the source', async () => {
  let isEnded = false;
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield Buffer.from('x');
    } finally {
      isEnded = true;
    }
  }
  for await (const piece of abortable(source(), new AbortController().signal)) {
    expect(piece.length).toBe(1);
    break;
  }
  await expect.poll(() => isEnded).toBe(true);
});

test('the failure of the source is told as it is', async () => {
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('x');
    throw new Error('the pipe broke');
  }
  const read = Array.fromAsync(abortable(source(), new AbortController().signal));
  await expect(read).rejects.toThrow('the pipe broke');
});
