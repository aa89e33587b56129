// The folder over which a recovering server gets the log: answers what its script asks for and puts the next segments there
// before they are asked for, never more than a window of them. Files appear by rename, whole. A file that cannot be read is
// answered as failed, never as absent.

import { randomBytes } from 'node:crypto';
import { chown, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, isAppError, messageOf, redact, retry, sleep, throwIfAborted } from '@varve/base';
import { exchangeNames, fetchScript } from './fetch-script.ts';
import type { FileOwner } from './prepare-data-folder.ts';

const pollMs = 10;
const beatMs = 1000;
const defaultPatienceSeconds = 30;
/** What lies ready is at most this much, or a few segments when they are large. */
const defaultWindowBytes = 256 * 1024 * 1024;
const leastWindow = 3;
/** Enough that threads which fetch always have the next one to go on with. */
const servedAtOnce = 4;
const attempts = 4;

/** A file that is written by whoever has it. */
export interface WrittenWalFile {
  /** Writes the content to an empty file. When it settles, nothing is written any more. */
  writeTo(path: string): Promise<void>;
}

export interface WalFileSource {
  /** A segment or history file, as its bytes or as what writes it; undefined when it is certain that there is none. */
  open(name: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array> | WrittenWalFile | undefined>;
}

export interface WalExchangeOptions {
  /** New or empty; made when missing. */
  readonly folder: string;
  /** Names of the segments in the order in which the server will need them, and no more than it needs. */
  readonly sequence: readonly string[];
  readonly source: WalFileSource;
  /** Shorter segments are filled up with zeros. */
  readonly segmentBytes: number;
  readonly owner: FileOwner | undefined;
  readonly windowBytes?: number | undefined;
  readonly patienceSeconds?: number | undefined;
  /** Called when the server has taken segments: how many of the sequence are behind it. */
  readonly onTaken?: ((taken: number) => void) | undefined;
}

const walFileName = /^(?:[0-9A-F]{24}|[0-9A-F]{8}\.history)$/;

/** Running until disposed; the folder stays, so that the script can tell that nobody answers any more. */
export class WalExchange implements AsyncDisposable {
  readonly #options: WalExchangeOptions;
  readonly #places: ReadonlyMap<string, number>;
  readonly #window: number;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];
  /** In the folder, or on their way into it. */
  readonly #ahead = new Map<string, number>();
  readonly #working = new Set<Promise<void>>();
  readonly #answering = new Set<string>();
  #next = 0;
  /** What the server asked for last when it went past others: those before it are not needed. */
  #passed = 0;
  #taken = 0;
  #servedCount = 0;
  #failure: AppError | undefined;
  #isClosed = false;

  private constructor(options: WalExchangeOptions) {
    this.#options = options;
    this.#places = new Map(options.sequence.map((name, index) => [name, index]));
    this.#window = Math.max(
      leastWindow,
      Math.floor((options.windowBytes ?? defaultWindowBytes) / options.segmentBytes),
    );
  }

  /** Makes the folder and the script, and begins to answer. */
  static async start(options: WalExchangeOptions): Promise<WalExchange> {
    const { folder, owner } = options;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const names = exchangeNames;
    for (const name of [names.asked, names.ready, names.absent, names.failed]) {
      await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
      await give(join(folder, name), owner);
    }
    await writeFile(join(folder, names.script), fetchScript(options.patienceSeconds ?? defaultPatienceSeconds), {
      mode: 0o700,
    });
    await give(join(folder, names.script), owner);
    await give(folder, owner);
    const exchange = new WalExchange(options);
    await exchange.#beat(0);
    exchange.#running.push(exchange.#beatAlways(), exchange.#serveAlways());
    return exchange;
  }

  /** Path of the script here. */
  get script(): string {
    return join(this.#options.folder, exchangeNames.script);
  }

  /** How many files were put into the folder. */
  get servedCount(): number {
    return this.#servedCount;
  }

  /** Why a file could not be had, when that happened: the server stops because of it. */
  get failure(): AppError | undefined {
    return this.#failure;
  }

  /** The target is reached: from now on, and when nobody answers any more, what is not ready is absent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#write(exchangeNames.closed, '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled([...this.#running, ...this.#working]);
  }

  async #beatAlways(): Promise<void> {
    const { signal } = this.#stop;
    for (let count = 1; !signal.aborted; count++) {
      await sleep(beatMs, { signal }).catch(() => {});
      if (!signal.aborted) await this.#beat(count);
    }
  }

  async #beat(count: number): Promise<void> {
    await this.#write(exchangeNames.alive, `${process.pid} ${count}\n`);
  }

  async #serveAlways(): Promise<void> {
    const { signal } = this.#stop;
    const asked = join(this.#options.folder, exchangeNames.asked);
    const ready = join(this.#options.folder, exchangeNames.ready);
    while (!signal.aborted) {
      try {
        // Only what was there before the look can have been taken.
        const settled = [...this.#ahead.keys()].filter((name) => !this.#answering.has(name));
        this.#noteTaken(settled, new Set(await readdir(ready)));
        for (const name of await readdir(asked)) this.#answer(name);
        this.#prefetch();
      } catch (error) {
        // The folder goes away when the recovery is cleaned up; whatever else it is, the script sees no sign of life then.
        this.#failure ??= asFailure(error, 'the exchange folder');
        return;
      }
      await sleep(pollMs, { signal }).catch(() => {});
    }
  }

  #noteTaken(settled: readonly string[], present: ReadonlySet<string>): void {
    for (const name of settled) {
      const place = this.#ahead.get(name);
      if (place === undefined || present.has(name) || this.#answering.has(name)) continue;
      this.#ahead.delete(name);
      if (place < this.#taken) continue;
      this.#taken = place + 1;
      this.#options.onTaken?.(this.#taken);
    }
  }

  #answer(name: string): void {
    // What is on its way, or there, is taken without an answer.
    if (this.#answering.has(name) || this.#ahead.has(name)) return;
    const place = this.#places.get(name);
    if (place !== undefined && place >= this.#next) {
      this.#next = place + 1;
      this.#dropBefore(place);
    }
    this.#start(name, place, true);
  }

  /** The server went past them: it did not need them. */
  #dropBefore(place: number): void {
    this.#passed = place;
    for (const [name, other] of this.#ahead) if (other < place && !this.#answering.has(name)) this.#drop(name);
  }

  #drop(name: string): void {
    this.#ahead.delete(name);
    const work = rm(join(this.#options.folder, exchangeNames.ready, name), { force: true })
      .catch(() => {})
      .finally(() => this.#working.delete(work));
    this.#working.add(work);
  }

  #prefetch(): void {
    const { sequence } = this.#options;
    while (!this.#isClosed && this.#next < sequence.length && this.#ahead.size < this.#window) {
      if (this.#answering.size >= servedAtOnce) return;
      const name = sequence[this.#next] ?? '';
      this.#start(name, this.#next, false);
      this.#next += 1;
    }
  }

  #start(name: string, place: number | undefined, wasAsked: boolean): void {
    this.#answering.add(name);
    if (place !== undefined) this.#ahead.set(name, place);
    const work = this.#deliver(name, wasAsked).finally(() => {
      this.#answering.delete(name);
      this.#working.delete(work);
      // It was on its way when the server went past it.
      if (!wasAsked && place !== undefined && place < this.#passed && this.#ahead.has(name)) this.#drop(name);
      // At once, not with the next look: whoever fetches would have nothing to do until then.
      if (!this.#stop.signal.aborted && this.#failure === undefined) this.#prefetch();
    });
    this.#working.add(work);
  }

  /** Never throws: what goes wrong is the answer. */
  async #deliver(name: string, wasAsked: boolean): Promise<void> {
    const { folder, source } = this.#options;
    const { signal } = this.#stop;
    try {
      if (!walFileName.test(name)) return await this.#write(join(exchangeNames.absent, name), '');
      const found = await retry({ attempts, firstDelayMs: 500, maxDelayMs: 10_000, signal }, async () => {
        const content = await source.open(name, signal);
        if (content === undefined) return false;
        await this.#put(name, content);
        return true;
      });
      if (found) this.#servedCount += 1;
      else if (wasAsked) await this.#write(join(exchangeNames.absent, name), '');
      if (!found) this.#ahead.delete(name);
    } catch (error) {
      this.#ahead.delete(name);
      if (signal.aborted) return;
      const failure = asFailure(error, name);
      this.#failure ??= failure;
      await this.#write(join(exchangeNames.failed, name), `varve: ${failure.message}\n`).catch(() => {});
    } finally {
      if (wasAsked) await rm(join(folder, exchangeNames.asked, name), { force: true }).catch(() => {});
    }
  }

  async #put(name: string, content: AsyncIterable<Uint8Array> | WrittenWalFile): Promise<void> {
    const { folder, owner, segmentBytes } = this.#options;
    const { signal } = this.#stop;
    const temporary = join(folder, `.${name}.${randomBytes(4).toString('hex')}`);
    try {
      {
        await using file = await open(temporary, 'wx', 0o600);
        if ('writeTo' in content) await content.writeTo(temporary);
        else {
          for await (const piece of content) {
            throwIfAborted(signal);
            await writeAll(file, piece);
          }
        }
        throwIfAborted(signal);
        const { size } = await file.stat();
        if (!name.endsWith('.history') && size < segmentBytes) await file.truncate(segmentBytes);
      }
      await give(temporary, owner);
      await rename(temporary, join(folder, exchangeNames.ready, name));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  async #write(name: string, content: string): Promise<void> {
    const { folder, owner } = this.#options;
    const temporary = join(folder, `.write.${randomBytes(4).toString('hex')}`);
    await writeFile(temporary, content, { mode: 0o600 });
    await give(temporary, owner);
    await rename(temporary, join(folder, name));
  }
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at);
    at += bytesWritten;
  }
}

/** Only root can give files away; everybody else is the server's user. */
async function give(path: string, owner: FileOwner | undefined): Promise<void> {
  if (owner === undefined || process.getuid?.() !== 0) return;
  await chown(path, owner.uid, owner.gid);
}

function asFailure(error: unknown, what: string): AppError {
  if (isAppError(error)) return error;
  return new AppError('RECOVERY_FAILED', `${what} could not be given to the server: ${redact(messageOf(error))}`, {
    cause: error,
  });
}
