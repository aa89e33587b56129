// How a database is saved, as options.

import { Option, type Command } from 'commander';
import { wholeNumber } from './numbers.ts';

export interface DatabaseMethodOptions {
  readonly databaseMethod?: 'dump' | 'base' | 'both';
  /** kB/s; 0 for no limit. */
  readonly maxRate?: number;
}

const greatestRateKBps = 1_048_576;

/** Adds `--database-method` and `--max-rate`. */
export function addDatabaseMethodOptions(command: Command): void {
  command
    .addOption(
      new Option('--database-method <method>', 'how databases are saved: dumps, their files, or both').choices([
        'dump',
        'base',
        'both',
      ]),
    )
    .option(
      '--max-rate <kB/s>',
      'limit for reading the files of base backups, 32 or more; 0 for none',
      wholeNumber({ min: 0, max: greatestRateKBps }),
    );
}
