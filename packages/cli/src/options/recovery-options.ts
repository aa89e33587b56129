// The options of `varve restore` and `varve verify` that name a point in time and where the recovered database goes.

import { resolve } from 'node:path';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { AppError } from '@varve/base';
import { recoveryRequestSchema, type RecoveryRequest, type RecoveryTarget } from '@varve/contract';
import { parseInput } from './parse-input.ts';
import { wholeNumber } from './numbers.ts';

/** Which state is wanted, as it was typed. */
export interface TargetOptions {
  readonly to?: string;
  readonly toLsn?: string;
  readonly toName?: string;
  readonly latest?: boolean;
  readonly database?: string;
  readonly timeline?: number;
}

export interface RecoveryOptions extends TargetOptions {
  readonly sandbox?: boolean;
  readonly port?: number;
  readonly folder?: string;
  readonly target?: string;
  readonly pause?: boolean;
  readonly safetySnapshot: boolean;
}

const moment = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d(?:\.\d{1,6})?))?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?$/i;

/** `2026-11-25 14:30:05.25+01`, seconds optional, as RFC 3339. Without a zone it could mean several moments. */
export function momentOption(text: string): string {
  const [match, day, time, seconds = '00', zone] = moment.exec(text.trim()) ?? [];
  if (match === undefined) {
    throw new InvalidArgumentError('It must be a time such as 2026-11-25 14:30:05+01:00, or 2026-11-25T13:30:05Z.');
  }
  if (zone === undefined) {
    throw new InvalidArgumentError('It needs a zone as a numeric offset: 2026-11-25 14:30:05+01:00, or Z for UTC.');
  }
  const digits = /^[+-]/.test(zone) ? zone.replace(':', '') : '';
  const offset = digits === '' ? 'Z' : `${digits.slice(0, 3)}:${digits.slice(3) || '00'}`;
  const result = `${day}T${time}:${seconds}${offset}`;
  if (Number.isNaN(Date.parse(result))) throw new InvalidArgumentError(`There is no such time: ${text}.`);
  return result;
}

/** Adds the options that name a point. */
export function addTargetOptions(command: Command): Command {
  return command
    .option('--to <time>', 'a database to this time, with its zone: 2026-11-25 14:30:05+01:00', momentOption)
    .option('--to-lsn <lsn>', 'a database to this position in its log, such as 0/3000028')
    .option('--to-name <name>', 'a database to this restore point')
    .option('--latest', 'a database to the end of what is in the repository')
    .option('--database <name>', 'the database component, when the app has several')
    .option('--timeline <number>', 'the timeline on which the point lies', wholeNumber({ min: 1, max: 0xffff_ffff }));
}

/** Adds the options that say where it goes. */
export function addDestinationOptions(command: Command): Command {
  return command
    .option('--sandbox', 'into a server of its own beside the app, which stays until it is removed')
    .option('--port <number>', 'port of the sandbox on this host', wholeNumber({ min: 1, max: 65_535 }))
    .option('--folder <path>', 'a new folder for the sandbox')
    .option('--pause', 'stop there, so that it can be read; `varve sandbox promote` lets it go on')
    .option('--target <path>', 'into this new or empty folder, shut down');
}

/** The target that was asked for; undefined when there is none. USAGE_INVALID for several. */
export function targetOf({ to, toLsn, toName, latest }: TargetOptions): RecoveryTarget | undefined {
  const wanted: RecoveryTarget[] = [
    ...(to === undefined ? [] : [{ type: 'time' as const, time: to }]),
    ...(toLsn === undefined ? [] : [{ type: 'lsn' as const, lsn: toLsn }]),
    ...(toName === undefined ? [] : [{ type: 'name' as const, name: toName }]),
    ...(latest === true ? [{ type: 'latest' as const }] : []),
  ];
  if (wanted.length > 1) {
    throw new AppError('USAGE_INVALID', 'Several points were given.', {
      hint: 'Give one of --to, --to-lsn, --to-name and --latest.',
    });
  }
  return wanted[0];
}

/** Whether the options are about a recovery to a point in time and not a restore of a snapshot. */
export function wantsRecovery(options: RecoveryOptions): boolean {
  return targetOf(options) !== undefined || options.sandbox === true || options.target !== undefined;
}

/** The request. `snapshotId` is the point when no other one is given. USAGE_INVALID. */
export function recoveryRequest(
  options: RecoveryOptions,
  { snapshotId, cwd }: { readonly snapshotId: string | undefined; readonly cwd: string },
): RecoveryRequest {
  const { sandbox, target: folder, port, pause, database, timeline } = options;
  if (sandbox && folder !== undefined) {
    throw new AppError('USAGE_INVALID', 'A sandbox has a folder of its own.', {
      hint: 'Give --sandbox with --folder, or --target alone.',
    });
  }
  if (!sandbox && (port !== undefined || options.folder !== undefined || pause)) {
    throw new AppError('USAGE_INVALID', '--port, --folder and --pause are for a sandbox.', { hint: 'Add --sandbox.' });
  }
  const target = targetOf(options) ?? (snapshotId === undefined ? undefined : { type: 'snapshot', snapshotId });
  return parseInput(recoveryRequestSchema, {
    target,
    destination: sandbox
      ? {
          type: 'sandbox',
          ...(port === undefined ? {} : { port }),
          ...(options.folder === undefined ? {} : { folder: resolve(cwd, options.folder) }),
        }
      : folder === undefined
        ? { type: 'in-place' }
        : { type: 'folder', path: resolve(cwd, folder) },
    whenReached: pause ? 'pause' : 'promote',
    safetySnapshot: options.safetySnapshot,
    ...(database === undefined ? {} : { component: database }),
    ...(timeline === undefined ? {} : { timeline }),
  });
}
