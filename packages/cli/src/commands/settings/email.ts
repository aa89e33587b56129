// `varve settings email`: where alerts are sent to, and by which server.

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AppError, messageOf } from '@varve/base';
import type { SettingsUpdate } from '@varve/contract';
import { Option, type Command } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import { collect, wholeNumber } from '../../options/numbers.ts';
import { parseInput } from '../../options/parse-input.ts';
import { emailFacts } from '../../output/settings.ts';
import { factLines } from '../../output/table.ts';
import type { Session } from '../../session.ts';

interface Options {
  readonly off?: boolean;
  readonly to?: readonly string[];
  readonly from?: string;
  readonly host?: string;
  readonly port?: number;
  readonly security?: 'tls' | 'starttls' | 'none';
  readonly user?: string;
  readonly passwordFile?: string;
  readonly language?: 'en' | 'es';
  readonly test?: boolean;
}

export const addEmailCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('email')
    .description('show how alerts are mailed, or change the parts that options name')
    .option('--off', 'send no e-mail')
    .option('--to <address>', 'who gets the alerts; several times for several', collect)
    .option('--from <address>', 'sender')
    .option('--host <name>', 'mail server')
    .option('--port <n>', 'its port', wholeNumber({ min: 1, max: 65_535 }))
    .addOption(new Option('--security <mode>', 'how the connection is protected').choices(['tls', 'starttls', 'none']))
    .option('--user <name>', 'user at the mail server; empty for none')
    .option('--password-file <file>', 'file with the password at the mail server; an empty file removes it')
    .addOption(new Option('--language <language>', 'language of the letters').choices(['en', 'es']))
    .option('--test', 'send a test letter with the settings as they are then')
    .addHelpText(
      'after',
      examples(
        [
          'Turn it on and try it',
          'varve settings email --host smtp.example.com --user varve --password-file smtp.pass --from varve@example.com --to ana@example.com --test',
        ],
        ['Turn it off', 'varve settings email --off'],
      ),
    );
  register(command, async (session) => {
    const options = command.opts<Options>();
    await using varve = await session.openVarve();
    let settings = await varve.getSettings();
    const update = await updateOf(session, command, settings.email);
    if (update) settings = await varve.updateSettings(update);
    if (options.test) await varve.sendTestEmail();
    session.print(settings, () => [
      ...factLines(emailFacts(settings)),
      ...(options.test ? [`A test letter went to ${settings.email.to.join(', ')}.`] : []),
    ]);
  });
};

/** Undefined when the options change nothing. Naming any part turns e-mail on. */
async function updateOf(
  session: Session,
  command: Command,
  current: NonNullable<SettingsUpdate['email']>,
): Promise<SettingsUpdate | undefined> {
  const { off, test: _, passwordFile, ...parts } = command.opts<Options>();
  // Options that all commands have are not parts of it.
  const names = ['to', 'from', 'host', 'port', 'security', 'user', 'language'] as const;
  const changed = names.filter((name) => parts[name] !== undefined);
  if (!off && changed.length === 0 && passwordFile === undefined) return undefined;
  const { emailSettingsSchema } = await import('@varve/contract');
  const email = parseInput(emailSettingsSchema, {
    ...current,
    ...Object.fromEntries(changed.map((name) => [name, parts[name]])),
    enabled: !off,
  });
  return {
    email,
    ...(passwordFile === undefined ? {} : { emailPassword: await readSecretFile(session, passwordFile) }),
  };
}

async function readSecretFile({ io, signal }: Session, file: string): Promise<string> {
  const path = resolve(io.cwd, file);
  try {
    return (await readFile(path, { encoding: 'utf8', signal })).trim();
  } catch (error) {
    throw new AppError('USAGE_INVALID', `The password file ${path} cannot be read: ${messageOf(error)}`, {
      hint: 'Check the path and its permissions.',
      cause: error,
    });
  }
}
