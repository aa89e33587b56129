// `varve wal receive`: captures WAL into a folder until it is told to stop.

import { resolve } from 'node:path';
import { AppError } from '@varve/base';
import { Option } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import { addDatabaseOptions, databaseLocation, type DatabaseOptions } from '../../options/database-options.ts';
import { byteSize, wholeNumber } from '../../options/numbers.ts';

interface Options extends DatabaseOptions {
  readonly spool?: string;
  readonly slot?: string;
  readonly createSlot?: boolean;
  readonly continueAfterGap?: boolean;
  readonly until?: string;
  readonly maxSpool?: number;
  readonly syncInterval?: number;
  readonly synchronous?: boolean;
}

export const addReceiveCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('receive')
    .description('capture WAL into a folder until Ctrl-C, as pg_receivewal does')
    .requiredOption('--spool <dir>', 'folder for the segments; it goes on with what is there')
    .option('--slot <name>', 'physical replication slot, so that the server keeps what we do not have yet')
    .option('--create-slot', 'make the slot when it is not there, and in place of one that was lost')
    .option('--continue-after-gap', 'when WAL is gone from the server, tell it and go on behind the gap')
    .option('--until <lsn>', 'end when everything before this position (such as 0/3000148) is durable')
    .option(
      '--max-spool <size>',
      'pause when the folder holds this much (500M, 20G) until segments are taken away',
      byteSize,
    )
    .addOption(
      new Option('--sync-interval <ms>', 'longest wait before what came is made durable')
        .argParser(wholeNumber({ min: 0, max: 60_000 }))
        .default(50),
    )
    .option('--synchronous', 'acknowledge at once, for a server that waits for us (synchronous_standby_names)')
    .addHelpText(
      'after',
      `
A low-level tool: nothing of this is in a repository. Finished segments have PostgreSQL's names and can be served by a
restore_command; NAME.partial is being written, or is the end of an old timeline. Only what is durable in the folder is
acknowledged. Lost connections, restarts and promotions of the server are survived; the URL file is read again before
every connection. The role needs the REPLICATION attribute; pg_hba.conf needs no line for replication.
${examples(
  [
    'Make the slot and capture',
    'varve wal receive --url-file /etc/varve/db.url --spool /srv/wal --slot varve --create-slot',
  ],
  [
    'As a service, one JSON document for each event',
    'varve wal receive --url-file /etc/varve/db.url --spool /srv/wal --slot varve --json',
  ],
  ['Up to a known position', 'varve wal receive --url-file /etc/varve/db.url --spool /srv/wal --until 0/5000148'],
)}`,
    );
  addDatabaseOptions(command);
  register(command, async (session) => {
    const options = command.opts<Options>();
    if (options.createSlot && options.slot === undefined) {
      throw new AppError('USAGE_INVALID', '--create-slot needs the name of the slot (--slot).');
    }
    // Loaded when needed only, as the room itself.
    const { walReport } = await import('../../output/wal-events.ts');
    const { parseLsn, receiveWal, WalSpool } = await import('@varve/postgres');
    // A fault in the URL or the file is told before anything is made.
    await databaseLocation(session, options);
    const until = options.until === undefined ? undefined : parseLsn(options.until);
    await using spool = await WalSpool.open({
      folder: resolve(session.io.cwd, options.spool ?? ''),
      maxBytes: options.maxSpool,
      syncIntervalMs: options.synchronous ? 0 : options.syncInterval,
    });
    using report = walReport(session);
    await receiveWal({
      location: () => databaseLocation(session, options),
      spool,
      slot: options.slot,
      createSlot: options.createSlot,
      continueAfterGap: options.continueAfterGap,
      until,
      synchronous: options.synchronous,
      onEvent: report.onEvent,
      signal: session.signal,
    });
  });
};
