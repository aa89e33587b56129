// `varve wal slots drop NAME`: the server keeps nothing for it any more.

import { examples, type AddCommand } from '../../../command.ts';
import { addDatabaseOptions, databaseLocation, type DatabaseOptions } from '../../../options/database-options.ts';

export const addSlotsDropCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('drop')
    .description('drop a slot: the server keeps no WAL for it any more')
    .argument('<name>', 'name of the slot')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      examples([
        'One whose receiver is gone for good',
        'varve wal slots drop old_receiver --url-file /etc/varve/db.url',
      ]),
    );
  addDatabaseOptions(command);
  register(command, async (session) => {
    const { connectPostgres, dropSlot } = await import('@varve/postgres');
    const options = command.opts<DatabaseOptions & { yes?: boolean }>();
    const name = command.args[0] ?? '';
    session.assertCanConfirm(options.yes ?? false);
    const location = await databaseLocation(session, options);
    await using connection = await connectPostgres({ ...location, replication: 'database', signal: session.signal });
    await session.confirm({
      yes: options.yes ?? false,
      question: `Drop the slot “${name}”? What its receiver does not have yet may be removed by the server.`,
    });
    await dropSlot(connection, name, { signal: session.signal });
    session.print({ dropped: name }, () => [`dropped the slot ${name}`]);
  });
};
