// `varve restore APP`: plans a restore in place, shows the plan, asks, runs exactly that plan.

import { AppError } from '@varve/base';
import { examples, type AddCommand } from '../command.ts';
import { followJob } from '../follow-job.ts';
import { collect } from '../options/numbers.ts';
import { planLines } from '../output/plan.ts';
import { askLine } from '../prompt/terminal-input.ts';
import type { Session } from '../session.ts';

interface Options {
  readonly snapshot: string;
  readonly component?: readonly string[];
  readonly safetySnapshot: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

export const addRestoreCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('restore')
    .description('put an app back in place to a snapshot; a safety snapshot is taken first')
    .argument('<app>', 'id of the app')
    .option('-s, --snapshot <id>', 'snapshot: an id, the beginning of one, or latest', 'latest')
    .option('-c, --component <name>', 'only this component (may be given several times)', collect)
    .option('--no-safety-snapshot', 'do not save the present state first')
    .option('-n, --dry-run', 'only show the plan')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      examples(
        ['See what would happen', 'varve restore shop --dry-run'],
        ['Only the database, to a certain snapshot', 'varve restore shop --snapshot 1a2b3c4d --component db'],
        ['From a script', 'varve restore shop --yes --json'],
      ),
    );
  register(command, async (session) => {
    const options = command.opts<Options>();
    const appId = command.args[0] ?? '';
    if (!options.dryRun) session.assertCanConfirm(options.yes ?? false);
    await using varve = await session.openVarve();
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

/** What overwrites an app is confirmed by its id, not by a reflex. */
async function confirmByName(session: Session, appId: string): Promise<void> {
  const question = `This overwrites the app's present data. Type its id (${appId}) to go on: `;
  const answer = await askLine(session.io, question, session.signal);
  if (answer.trim() !== appId) throw new AppError('CANCELLED', 'Nothing was changed.');
}
