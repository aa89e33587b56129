// A download as the body of an answer: read on when the reader has taken what was read, ended when the reader leaves or takes
// nothing any more, cut off when it fails.

import type { Download } from '@varve/app';
import { AppError } from '@varve/base';

interface DownloadStreamOptions {
  /** Aborted when the reader has left: the reading of the download listens to it. */
  readonly gone: AbortController;
  readonly onFailure: (error: unknown) => void;
  /** Breaks the connection off, so that nobody takes what was sent for whole. */
  readonly cutOff: () => void;
  readonly stallMs: number;
}

/** Disposes of the download however it ends. */
export function downloadStream(download: Download, options: DownloadStreamOptions): ReadableStream<Uint8Array> {
  const { gone, onFailure, cutOff, stallMs } = options;
  const parts = download.content[Symbol.asyncIterator]();
  let stalled: NodeJS.Timeout | undefined;
  const close = async (): Promise<void> => {
    clearTimeout(stalled);
    try {
      await download[Symbol.asyncDispose]();
    } catch (error) {
      onFailure(error);
    }
  };
  const leave = async (reason: unknown): Promise<void> => {
    gone.abort(reason);
    // What is being read fails by the signal; then the lock may go.
    await parts.return?.(undefined).catch(() => {});
    await close();
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(stalled);
        try {
          const part = await parts.next();
          if (part.done !== true) {
            controller.enqueue(part.value);
            stalled = setTimeout(() => {
              const reason = new AppError('CANCELLED', `The reader took nothing for ${stallMs / 1000} s.`);
              cutOff();
              void leave(reason);
            }, stallMs);
            return;
          }
          await close();
          controller.close();
        } catch (error) {
          await close();
          onFailure(error);
          cutOff();
          controller.close();
        }
      },
      cancel: leave,
    },
    { highWaterMark: 1 },
  );
}
