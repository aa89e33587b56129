// `varve restore APP`: plans a restore in place, shows the plan, asks, runs exactly that plan. With a point in time, or with
// another place, it is a recovery of one database.

import { AppError } from '@varve/base';
import { examples, type AddCommand } from '../command.ts';
import { followJob } from '../follow-job.ts';
import { collect } from '../options/numbers.ts';
import {
  addDestinationOptions,
  addTargetOptions,
  recoveryRequest,
  targetOf,
  wantsRecovery,
  type RecoveryOptions,
} from '../options/recovery-options.ts';
import { planLines } from '../output/plan.ts';
import { askLine } from '../prompt/terminal-input.ts';
import type { Session } from '../session.ts';
import { recoverDatabase } from './recover.ts';

interface Options extends RecoveryOptions {
  readonly snapshot: string;
  readonly component?: readonly string[];
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

export const addRestoreCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('restore')
    .description(
      'put an app back in place to a snapshot, or a database to any moment; a safety snapshot is taken first',
    )
    .argument('<app>', 'id of the app')
    .option('-s, --snapshot <id>', 'snapshot: an id, the beginning of one, or latest', 'latest')
    .option('-c, --component <name>', 'only this component (may be given several times)', collect)
    .option('--no-safety-snapshot', 'do not save the present state first')
    .option('-n, --dry-run', 'only show the plan')
    .option('-y, --yes', 'do not ask');
  addDestinationOptions(addTargetOptions(command));
  command.addHelpText(
    'after',
    examples(
      ['See what would happen', 'varve restore shop --dry-run'],
      ['Only the database, to a certain snapshot', 'varve restore shop --snapshot 1a2b3c4d --component db'],
      ['From a script', 'varve restore shop --yes --json'],
      ['The database to the second before a mistake', 'varve restore shop --to "2026-11-25 14:30:05+01:00"'],
      ['The same beside it, to look at', 'varve restore shop --to "2026-11-25 14:30:05+01:00" --sandbox'],
    ),
  );
  register(command, async (session) => {
    const options = command.opts<Options>();
    const appId = command.args[0] ?? '';
    const isRecovery = wantsRecovery(options);
    const isBeside = isRecovery && (options.sandbox === true || options.target !== undefined);
    if (!options.dryRun && !isBeside) session.assertCanConfirm(options.yes ?? false);
    await using varve = await session.openVarve();
    if (isRecovery) {
      refuseOthers(command.getOptionValueSource('snapshot') === 'cli', options);
      const named = targetOf(options) === undefined ? await varve.getSnapshot(appId, options.snapshot) : undefined;
      const request = recoveryRequest(options, { snapshotId: named?.snapshot.id, cwd: session.io.cwd });
      return await recoverDatabase(session, varve, {
        appId,
        request,
        dryRun: options.dryRun ?? false,
        yes: options.yes ?? false,
      });
    }
    const { snapshot } = await varve.getSnapshot(appId, options.snapshot);
    const request = {
      snapshotId: snapshot.id,
      safetySnapshot: options.safetySnapshot,
      ...(options.component ? { components: [...options.component] } : {}),
    };
    const plan = await varve.planRestore(appId, request);
    if (options.dryRun) {
      session.print(plan, () => planLines(plan, { snapshot, now: session.now, output: session.io.out }));
      return 0;
    }
    for (const line of planLines(plan, { snapshot, now: session.now, output: session.io.out })) session.say(line);
    if (!options.yes) await confirmByName(session, appId);
    const job = await varve.startRestore(appId, { ...request, fingerprint: plan.fingerprint }, 'cli');
    return await followJob(session, varve, job, () => `${appId} is back at snapshot ${snapshot.id.slice(0, 8)}.`);
  });
};

/** A point in time is not a snapshot, and a recovery is of one database. */
function refuseOthers(hasSnapshot: boolean, options: Options): void {
  if (options.component !== undefined) {
    throw new AppError('USAGE_INVALID', 'A recovery to a point in time is of one database.', {
      hint: 'Name it with --database. Other components are restored from a snapshot, with --snapshot.',
    });
  }
  if (hasSnapshot && targetOf(options) !== undefined) {
    throw new AppError('USAGE_INVALID', 'A snapshot and a point in time were given.', { hint: 'Give one of them.' });
  }
}

/** What overwrites an app is confirmed by its id, not by a reflex. */
async function confirmByName(session: Session, appId: string): Promise<void> {
  const question = `This overwrites the app's present data. Type its id (${appId}) to go on: `;
  const answer = await askLine(session.io, question, session.signal);
  if (answer.trim() !== appId) throw new AppError('CANCELLED', 'Nothing was changed.');
}
