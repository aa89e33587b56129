// What a command is given: the outside world, the options that all commands have, and ways to write its result.

import { resolve } from 'node:path';
import type { Varve } from '@varve/app';
import { AppError, systemClock, type Clock, type Logger } from '@varve/base';
import type { Io } from './io.ts';
import { jsonText } from './output/json.ts';
import { ProgressDisplay } from './output/progress.ts';
import { printable } from './output/text.ts';
import { askYesNo, canAsk } from './prompt/terminal-input.ts';

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  /** How often `--verbose` was given. */
  readonly verbose?: number;
  readonly data?: string;
}

export interface SessionOptions {
  readonly io: Io;
  readonly signal: AbortSignal;
  readonly common: CommonOptions;
  readonly clock?: Clock;
}

/** One run of one command. */
export class Session {
  readonly io: Io;
  /** Aborts when the user wants to stop. */
  readonly signal: AbortSignal;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** How often `--verbose` was given. */
  readonly verbosity: number;
  readonly clock: Clock;
  readonly #data: string | undefined;

  constructor(options: SessionOptions) {
    const { io, common } = options;
    this.io = io;
    this.signal = options.signal;
    this.json = common.json ?? false;
    this.quiet = common.quiet ?? false;
    this.verbosity = common.verbose ?? 0;
    this.verbose = this.verbosity > 0;
    this.#data = common.data;
    this.clock = options.clock ?? systemClock;
  }

  get now(): Date {
    return this.clock.now();
  }

  /** Opens the installation for one command; the caller disposes it. */
  async openVarve(options: { readonly logger?: Logger; readonly runInBackground?: boolean } = {}): Promise<Varve> {
    // Loaded when needed only: commands without an installation, and help, start faster.
    const { defaultDataDirectory, openVarve } = await import('@varve/app');
    return openVarve({
      dataDirectory: resolve(this.io.cwd, this.#data ?? defaultDataDirectory(this.io.env)),
      clock: this.clock,
      logger: options.logger ?? this.logger(),
      signal: this.signal,
      runInBackground: options.runInBackground ?? false,
    });
  }

  /** Warnings always, the rest with --verbose; nothing beside the error in JSON mode. */
  logger(): Logger {
    const { err } = this.io;
    const say = (prefix: string, isShown: boolean) => (message: string) => {
      if (isShown) err.write(`${prefix}${printable(message)}\n`);
    };
    const isOn = !this.json && !this.quiet;
    return {
      debug: say('', isOn && this.verbose),
      info: say('', isOn && this.verbose),
      warn: say('warning: ', isOn),
      error: say('warning: ', !this.json),
    };
  }

  progress(): ProgressDisplay {
    return new ProgressDisplay({ output: this.io.err, isOff: this.json || this.quiet });
  }

  /** The result: JSON when asked for, else lines for people. */
  print(result: unknown, lines: () => readonly string[]): void {
    if (this.json) this.printJson(result);
    else for (const line of lines()) this.io.out.write(`${line}\n`);
  }

  /** A line that is not needed when the user wants quiet. */
  say(line: string): void {
    if (!this.json && !this.quiet) this.io.out.write(`${line}\n`);
  }

  /** One JSON document on a line of its own. */
  printJson(value: unknown): void {
    this.io.out.write(`${jsonText(value)}\n`);
  }

  /** Throws USAGE_INVALID when nobody can be asked and `yes` was not given, CANCELLED when the answer is no. */
  async confirm(options: { readonly yes: boolean; readonly question: string }): Promise<void> {
    this.assertCanConfirm(options.yes);
    if (options.yes || (await askYesNo(this.io, options.question, this.signal))) return;
    throw new AppError('CANCELLED', 'Nothing was changed.');
  }

  /** Throws USAGE_INVALID when `yes` was not given and there is no terminal to ask at. */
  assertCanConfirm(yes: boolean): void {
    if (yes || (canAsk(this.io) && !this.json)) return;
    throw new AppError('USAGE_INVALID', 'This changes data and there is nobody to ask.', {
      hint: 'Look at what it would do with --dry-run, or add --yes to run it without a question.',
    });
  }
}
