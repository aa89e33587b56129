// `varve repo prune`: removes data that no snapshot uses any more.

import { AppError, errorCodes, type OnProgress } from '@varve/base';
import type { PrunePhase, PrunePlan, PruneResult, PruneRules, Repository } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import { addPruneOptions, pruneRulesOf } from '../../options/prune-options.ts';
import {
  addLockOptions,
  addRepositoryOptions,
  openLockedRepository,
  openRepositoryFor,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { prunePlanJson, prunePlanLines, pruneResultJson, pruneResultLines } from '../../output/prune.ts';
import { repositoryProgress, type RepositoryProgress } from '../../output/repository-progress.ts';
import type { Session } from '../../session.ts';

interface Options extends LockCommandOptions {
  readonly dryRun?: boolean;
  readonly unsafeRecoverNoFreeSpace?: string;
}

export const addPruneCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('prune')
    .description('remove data that no snapshot uses any more; backups may run meanwhile, but for a short time')
    .option('-n, --dry-run', 'only show what would be done')
    .option(
      '--unsafe-recover-no-free-space <id>',
      'for a storage without any free space: deletes before it writes. Try --max-repack-size 0 first',
    )
    .addHelpText(
      'after',
      examples(
        ['What it would do', 'varve repo prune --dry-run'],
        ['Wait up to an hour for backups that run', 'varve repo prune --retry-lock 1h'],
        ['Free all that can be freed', 'varve repo prune --max-unused 0'],
        ['With little free space', 'varve repo prune --max-repack-size 0'],
      ),
    );
  addPruneOptions(command);
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const options = command.opts<Options>();
    const rules = pruneRulesOf(command);
    if (options.dryRun) {
      await using opened = await openLockedRepository(session, options, { exclusive: false });
      const plan = await showPlan(session, opened, { rules });
      session.print({ message_type: 'summary', dry_run: true, ...prunePlanJson(plan) }, () => prunePlanLines(plan));
      return 0;
    }
    await using opened = await openRepositoryFor(session, options);
    const { repository } = opened;
    const unsafeId = options.unsafeRecoverNoFreeSpace;
    if (!options.lock && unsafeId === undefined) {
      throw new AppError('USAGE_INVALID', 'A prune without a lock would destroy the backups that run meanwhile.', {
        hint: 'Leave --no-lock out, or add --dry-run.',
      });
    }
    if (unsafeId !== undefined && unsafeId !== repository.id) {
      throw new AppError('USAGE_INVALID', `--unsafe-recover-no-free-space has to be given the id ${repository.id}.`, {
        hint: 'When it is interrupted, the index has to be rebuilt with varve repo repair index. Read docs/prune.md first.',
      });
    }
    const result = await runPruneFor(session, repository, { options, rules, deletesFirst: unsafeId !== undefined });
    const json = { message_type: 'summary', ...prunePlanJson(result.plan), ...pruneResultJson(result) };
    session.print(json, () => pruneResultLines(result));
    return pruneExitCode(result);
  });
};

/** Shows the plan and runs it. */
export async function runPruneFor(
  session: Session,
  repository: Repository,
  prune: { readonly options: LockCommandOptions; readonly rules: PruneRules; readonly deletesFirst?: boolean },
): Promise<PruneResult> {
  const { runPrune } = await import('@varve/repository');
  const { options, rules, deletesFirst } = prune;
  using progress = new PhaseProgress(session);
  const lock = options.lock ? { clock: session.clock, waitMs: options.retryLock ?? 0, logger: session.logger() } : null;
  return await runPrune(repository, {
    ...rules,
    lock,
    signal: session.signal,
    unsafeRecoverNoFreeSpace: deletesFirst,
    onProgress: (phase) => progress.of(phase),
    onPlan: (plan) => {
      progress.end();
      if (!session.quiet) for (const line of prunePlanLines(plan)) session.say(line);
    },
  });
}

/** The plan, under the caller's lock. */
export async function showPlan(
  session: Session,
  { repository, signal }: { readonly repository: Repository; readonly signal: AbortSignal },
  { rules, withoutSnapshots }: { readonly rules: PruneRules; readonly withoutSnapshots?: readonly string[] },
): Promise<PrunePlan> {
  const { planPrune } = await import('@varve/repository');
  using progress = new PhaseProgress(session);
  return await planPrune(repository, {
    ...rules,
    withoutSnapshots,
    signal,
    onProgress: (phase) => progress.of(phase),
  });
}

export function pruneExitCode({ problems }: PruneResult): number {
  return problems.length === 0 ? 0 : errorCodes.RESULT_PARTIAL.exit;
}

const labels: Readonly<Record<PrunePhase, string>> = { find: 'find used data', repack: 'repack', remove: 'remove' };

/** One display at a time, of the phase that was asked for last. */
class PhaseProgress implements Disposable {
  readonly #session: Session;
  #current: RepositoryProgress | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  of(phase: PrunePhase): OnProgress {
    this.end();
    this.#current = repositoryProgress(this.#session, labels[phase]);
    return this.#current.onProgress;
  }

  end(): void {
    this.#current?.[Symbol.dispose]();
    this.#current = undefined;
  }

  [Symbol.dispose](): void {
    this.end();
  }
}
