// The outside world of a command, as parameters: environment, streams, terminal.

import type { ReadStream } from 'node:tty';

/** A stream to write text to. Writing to a pipe whose reader has gone is dropped, not an error. */
export interface TextOutput {
  readonly isTerminal: boolean;
  readonly columns: number;
  readonly colors: boolean;
  /** True once the reader has gone: there is no use in writing more. */
  readonly isClosed: boolean;
  write(text: string): void;
  /** Resolves when the bytes have been taken, or the reader has gone. */
  writeBytes(bytes: Uint8Array): Promise<void>;
}

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly stdin: ReadStream;
  readonly out: TextOutput;
  readonly err: TextOutput;
}

/** Wraps a stream of the process. */
export function textOutput(stream: NodeJS.WriteStream, env: Io['env']): TextOutput {
  let isClosed = false;
  stream.on('error', () => {
    isClosed = true;
  });
  const isTerminal = stream.isTTY === true;
  const noColor = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
  return {
    isTerminal,
    colors: isTerminal && !noColor,
    get columns() {
      return stream.columns || 80;
    },
    get isClosed() {
      return isClosed;
    },
    write(text) {
      if (!isClosed) stream.write(text);
    },
    async writeBytes(bytes) {
      if (!isClosed) await new Promise<void>((resolve) => stream.write(bytes, () => resolve()));
    },
  };
}
