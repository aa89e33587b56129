// Questions to a person at a terminal. The text of a question goes to stderr, so that stdout stays clean.

import { AppError, cancelledError, Secret, throwIfAborted } from '@varve/base';
import type { Io } from '../io.ts';

/** Whether there is a person to ask. */
export function canAsk(io: Io): boolean {
  return io.stdin.isTTY && io.err.isTerminal;
}

/** Reads one line. CANCELLED on Ctrl-C or end of input. */
export function askLine(io: Io, question: string, signal: AbortSignal): Promise<string> {
  return readLine(io, question, { signal, isHidden: false });
}

/** Reads one line without showing it. */
export async function askSecret(io: Io, question: string, signal: AbortSignal): Promise<Secret> {
  return new Secret(await readLine(io, question, { signal, isHidden: true }));
}

/** `y` or `yes` is yes, anything else no. */
export async function askYesNo(io: Io, question: string, signal: AbortSignal): Promise<boolean> {
  const answer = await askLine(io, `${question} [y/N] `, signal);
  return ['y', 'yes'].includes(answer.trim().toLowerCase());
}

/** The terminal is read key by key in both cases, so that hidden input and Ctrl-C are in one hand. */
function readLine(io: Io, question: string, options: { signal: AbortSignal; isHidden: boolean }): Promise<string> {
  throwIfAborted(options.signal);
  const { stdin, err } = io;
  // Before the question is seen: what is typed at once must not be echoed.
  stdin.setRawMode(true);
  stdin.setEncoding('utf8');
  stdin.resume();
  err.write(question);
  return new Promise<string>((resolve, reject) => {
    let line = '';
    const finish = (result: () => void): void => {
      stdin.off('data', onData);
      stdin.off('end', onEnd);
      options.signal.removeEventListener('abort', onAbort);
      stdin.setRawMode(false);
      stdin.pause();
      err.write('\n');
      result();
    };
    const interrupted = new AppError('CANCELLED', 'Interrupted.');
    const onAbort = (): void => finish(() => reject(cancelledError(options.signal)));
    const onEnd = (): void => finish(() => reject(interrupted));
    const onData = (chunk: string): void => {
      for (const key of chunk) {
        if (key === '\r' || key === '\n') return finish(() => resolve(line));
        if (key === '\u0003' || (key === '\u0004' && line === '')) return finish(() => reject(interrupted));
        if (key === '\u007f' || key === '\b') {
          if (line !== '' && !options.isHidden) err.write('\b \b');
          line = Array.from(line).slice(0, -1).join('');
        } else if (key >= ' ') {
          line += key;
          if (!options.isHidden) err.write(key);
        }
      }
    };
    stdin.on('data', onData);
    stdin.on('end', onEnd);
    options.signal.addEventListener('abort', onAbort, { once: true });
  });
}
