// What `varve restore` does when it is asked for a point in time: plans the recovery of one database, shows it, asks, runs it.

import type { Varve } from '@varve/app';
import { AppError } from '@varve/base';
import type { RecoveryRequest } from '@varve/contract';
import { followJob } from '../follow-job.ts';
import { recoveryPlanLines, sandboxLines } from '../output/recovery-plan.ts';
import { askLine } from '../prompt/terminal-input.ts';
import type { Session } from '../session.ts';

export interface RecoverOptions {
  readonly appId: string;
  readonly request: RecoveryRequest;
  readonly dryRun: boolean;
  readonly yes: boolean;
}

/** Yields the exit code. */
export async function recoverDatabase(session: Session, varve: Varve, options: RecoverOptions): Promise<number> {
  const { appId, request } = options;
  const plan = await varve.planRecovery(appId, request);
  const lines = (): string[] => recoveryPlanLines(plan, { now: session.now, output: session.io.out });
  if (options.dryRun) {
    session.print(plan, lines);
    return 0;
  }
  for (const line of lines()) session.say(line);
  // What overwrites a database is confirmed by the app's id, not by a reflex; what is made beside it needs no question.
  if (request.destination.type === 'in-place' && !options.yes) await confirmByName(session, appId, plan.component);
  const job = await varve.startRecovery(appId, { ...request, fingerprint: plan.fingerprint }, 'cli');
  return followJob(session, varve, job, ({ result }) => {
    if (result?.type !== 'recovery') return `${plan.component} is recovered.`;
    if (result.sandbox !== null) return sandboxLines(result.sandbox).join('\n');
    const until = result.lastCommitAt === null ? result.lsn : `${result.lastCommitAt} (${result.lsn})`;
    const where = result.folder === null ? `${plan.component} of ${appId}` : result.folder;
    return `${where} is recovered to ${until}, on timeline ${result.timeline}.`;
  });
}

async function confirmByName(session: Session, appId: string, component: string): Promise<void> {
  const question = `This replaces the present database ${component}. Type the id of the app (${appId}) to go on: `;
  const answer = await askLine(session.io, question, session.signal);
  if (answer.trim() !== appId) throw new AppError('CANCELLED', 'Nothing was changed.');
}
