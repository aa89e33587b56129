// `varve wal slots list`: what each slot makes the server keep.

import { formatBytes } from '@varve/base';
import type { SlotFacts } from '@varve/postgres';
import { examples, type AddCommand } from '../../../command.ts';
import { addDatabaseOptions, databaseLocation, type DatabaseOptions } from '../../../options/database-options.ts';
import { tableLines } from '../../../output/table.ts';

export const addSlotsListCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('list')
    .description('list the slots, with the WAL that each makes the server keep')
    .addHelpText('after', examples(['Who fills pg_wal', 'varve wal slots list --url-file /etc/varve/db.url']));
  addDatabaseOptions(command);
  register(command, async (session) => {
    const { connectPostgres, formatLsn, listSlots } = await import('@varve/postgres');
    const { installationOfSlot, slotJson } = await import('../../../output/wal-events.ts');
    const location = await databaseLocation(session, command.opts<DatabaseOptions>());
    await using connection = await connectPostgres({ ...location, signal: session.signal });
    const slots = await listSlots(connection, { signal: session.signal });
    const lines = (): string[] => {
      if (slots.length === 0) return ['The server has no replication slots.'];
      const rows = slots.map((slot) => [
        slot.name,
        madeBy(installationOfSlot(slot.name)),
        slot.isPhysical ? 'physical' : 'logical',
        slot.isActive ? 'in use' : 'idle',
        slot.walStatus ?? '-',
        slot.restartLsn === undefined ? '-' : formatLsn(slot.restartLsn),
        slot.retainedBytes === undefined ? '-' : formatBytes(slot.retainedBytes),
        marginOf(slot),
      ]);
      return tableLines(
        [
          { title: 'SLOT' },
          { title: 'MADE BY' },
          { title: 'TYPE' },
          { title: 'USE' },
          { title: 'WAL' },
          { title: 'FROM' },
          { title: 'KEEPS', align: 'right' },
          { title: 'UNTIL LOST', align: 'right' },
        ],
        rows,
      );
    };
    session.print(
      slots.map((slot) => slotJson(slot)),
      lines,
    );
  });
};

/** The file `installation.id` of a data directory begins with these digits. */
function madeBy(installation: string | undefined): string {
  return installation === undefined ? '-' : `Varve ${installation}`;
}

function marginOf(slot: SlotFacts): string {
  if (slot.walStatus === 'lost') return 'lost';
  if (slot.safeWalBytes === undefined) return 'no limit';
  return slot.safeWalBytes < 0 ? 'at once' : formatBytes(slot.safeWalBytes);
}
