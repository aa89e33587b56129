// `varve connect LOCATION`: chooses the repository of this installation. With one that is there already the apps and
// snapshots in it are listed again, which is how an empty machine gets them back.

import { examples, type AddCommand } from '../command.ts';
import { readPassword, type PasswordOptions } from '../options/password.ts';
import { addConnectionOptions, connectionOptionsOf, type ConnectionOptions } from '../options/storage-options.ts';
import { printStorageChecks } from '../output/storage-checks.ts';
import { counted, printable } from '../output/text.ts';

interface Options extends PasswordOptions, ConnectionOptions {
  readonly create?: boolean;
  readonly checkOnly?: boolean;
}

export const addConnectCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('connect')
    .description('choose the repository of this installation; apps and snapshots in it are found again')
    .argument(
      '<location>',
      "where it is, in restic's syntax: a folder, s3:…, sftp:…, rest:…, rclone:… (docs/storages.md)",
    )
    .option('--create', 'make a new repository there; without a password one is generated for the recovery kit')
    .option('--check-only', 'only try whether that place does what a repository relies on; connect nothing')
    .option('-p, --password-file <file>', 'file with the password (VARVE_PASSWORD_FILE, RESTIC_PASSWORD_FILE)')
    .option('--password-command <command>', 'command that prints the password (RESTIC_PASSWORD_COMMAND)')
    .addHelpText(
      'after',
      examples(
        [
          'Whether a bucket will do',
          'varve connect s3:s3.wasabisys.com/backups -o s3.region=eu-central-1 --check-only',
        ],
        ['A new one on another disk, before the first app is added', 'varve connect --create /mnt/backup/varve'],
        [
          'On an empty machine, with what the recovery kit says',
          'varve connect /mnt/backup/varve --password-file kit.pass',
        ],
      ),
    );
  addConnectionOptions(command);
  register(command, async (session) => {
    const options = command.opts<Options>();
    const place = { location: command.args[0] ?? '', ...connectionOptionsOf(options) };
    if (options.checkOnly) {
      await using varve = await session.openVarve();
      return await printStorageChecks(session, place.location, varve.testStorage({ place, signal: session.signal }));
    }
    const isNamed = options.passwordFile !== undefined || options.passwordCommand !== undefined;
    const password =
      options.create && !isNamed
        ? undefined
        : await readPassword(session, { ...options, isNew: options.create ?? false });
    await using varve = await session.openVarve();
    const repository = await varve.connectRepository({ ...place, password, create: options.create ?? false });
    const found = options.create ? { apps: 0, snapshots: 0 } : await varve.rebuildCatalogue();
    session.print({ repository, ...found }, () => [
      `The repository of this installation is ${printable(repository.location)}.`,
      options.create
        ? 'It is new. Store its recovery kit away from this machine: varve recovery-kit'
        : `In it are ${counted(found.snapshots, 'snapshot')}; ${counted(found.apps, 'app')} came back from them.`,
    ]);
    return 0;
  });
};
