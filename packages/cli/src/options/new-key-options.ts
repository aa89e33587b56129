// Options of the commands that make a key: its password, and who it is noted for.

import { Option, type Command } from 'commander';
import type { Session } from '../session.ts';
import { readPassword } from './password.ts';
import type { Secret } from '@varve/base';

interface NewKeyOptions {
  readonly newPasswordFile?: string;
  readonly newPasswordCommand?: string;
  readonly user?: string;
  readonly host?: string;
}

const group = 'Options of the new key:';

/** Adds `--new-password-file`, `--new-password-command`, `--user` and `--host`. */
export function addNewKeyOptions(command: Command): void {
  const add = (option: Option): Command => command.addOption(option.helpGroup(group));
  add(new Option('--new-password-file <file>', 'file with the new password (VARVE_NEW_PASSWORD_FILE)'));
  add(new Option('--new-password-command <command>', 'command that prints the new password'));
  add(new Option('--user <name>', 'user name that is noted in the key; yours when absent'));
  add(new Option('--host <name>', 'host name that is noted in the key; this host when absent'));
}

/** What they say; a person at a terminal is asked for the password, twice. */
export async function readNewKey(
  session: Session,
  command: Command,
): Promise<{ password: Secret; username: string | undefined; hostname: string | undefined }> {
  const { newPasswordFile, newPasswordCommand, user, host } = command.opts<NewKeyOptions>();
  const password = await readPassword(session, {
    ...(newPasswordFile === undefined ? {} : { passwordFile: newPasswordFile }),
    ...(newPasswordCommand === undefined ? {} : { passwordCommand: newPasswordCommand }),
    isNew: true,
    role: 'new-key',
  });
  return { password, username: user, hostname: host };
}
