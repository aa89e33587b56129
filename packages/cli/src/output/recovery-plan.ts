// A recovery in words: its plan, and the sandbox that came of it.

import { formatBytes, formatDuration } from '@varve/base';
import type { RecoveryPlan, RecoveryStep, RecoveryTarget, Sandbox } from '@varve/contract';
import type { TextOutput } from '../io.ts';
import { factLines, tableLines } from './table.ts';
import { counted, printable, styled } from './text.ts';
import { timeForPeople } from './time.ts';

/** Facts, numbered steps, then the warnings. */
export function recoveryPlanLines(
  plan: RecoveryPlan,
  options: { readonly now: Date; readonly output: TextOutput },
): string[] {
  const { base, wal, stop, estimate } = plan;
  const timelines = wal.timelines.length > 1 ? ` over timelines ${wal.timelines.join(', ')}` : '';
  return [
    `Recover the database ${plan.component} of ${plan.appId} to ${targetText(plan.target)}:`,
    ...factLines([
      [
        'base backup',
        `${base.snapshotId.slice(0, 8)}, ${timeForPeople(base.time, options.now)}, ${formatBytes(base.bytes)}`,
      ],
      [
        'log',
        `${wal.fromLsn} to ${wal.toLsn}, ${counted(wal.segments, 'segment')}, ${formatBytes(wal.bytes)}${timelines}`,
      ],
      ['last transaction', stop.lastCommitAt ?? 'the last one before the end of the base backup'],
      ['first one missing', stop.nextCommitAt ?? 'none is known'],
      ['needs about', `${formatDuration(estimate.seconds * 1000)}, ${formatBytes(estimate.bytes)}`],
    ]).map((line) => `  ${line}`),
    ...plan.steps.map((step, index) => `  ${String(index + 1).padStart(2)}. ${printable(stepText(step))}`),
    ...plan.warnings.map(
      (warning) => `${styled(options.output, ['yellow', 'bold'], 'warning:')} ${printable(warning.message)}`,
    ),
  ];
}

export function targetText(target: RecoveryTarget): string {
  switch (target.type) {
    case 'time':
      return target.time;
    case 'lsn':
      return `position ${target.lsn}`;
    case 'name':
      return `the restore point “${printable(target.name)}”`;
    case 'latest':
      return 'the end of what is in the repository';
    case 'snapshot':
      return `the point of snapshot ${target.snapshotId.slice(0, 8)}`;
  }
}

function stepText(step: RecoveryStep): string {
  switch (step.type) {
    case 'safety-snapshot':
      return 'Take a safety snapshot of the present state';
    case 'restore-base':
      return `Write the base backup ${step.snapshotId.slice(0, 8)} to ${step.target} (${formatBytes(step.bytes)})`;
    case 'replay-wal':
      return `Replay the log from ${step.fromLsn} to ${step.toLsn} (${counted(step.segments, 'segment')})`;
    case 'pause':
      return 'Pause there: it can be read, and takes no changes';
    case 'promote':
      return 'End the recovery: from then on it takes changes, on a timeline of its own';
    case 'shut-down':
      return 'Shut the recovered server down cleanly';
    case 'stop-containers':
      return `Stop the containers ${step.containers.join(', ')}`;
    case 'run-stop-command':
      return `Run the stop command: ${step.command}`;
    case 'stop-database':
      return `Stop the database ${step.component} (${step.dataDirectory})`;
    case 'swap-data':
      return `Put the recovered data in the place of ${step.dataDirectory}; what is there is kept until the server runs`;
    case 'start-database':
      return `Start the database ${step.component}`;
    case 'start-containers':
      return `Start the containers ${step.containers.join(', ')}`;
    case 'run-start-command':
      return `Run the start command: ${step.command}`;
    case 'wait-healthy':
      return `Wait until ${step.containers.join(', ')} answer`;
  }
}

/** What is told of a sandbox when it is there. */
export function sandboxLines(sandbox: Sandbox): string[] {
  const { connection, stoppedAt } = sandbox;
  return [
    `Sandbox ${sandbox.id} of ${sandbox.component} is ${sandbox.state}.`,
    ...factLines([
      ...(stoppedAt === null
        ? []
        : [['recovered to', `${stoppedAt.lastCommitAt ?? ''} ${stoppedAt.lsn}`.trim()] as const]),
      ...(connection === null ? [] : [['open it', connection.command] as const]),
      ...(sandbox.state === 'paused' ? [['let it go on', `varve sandbox promote ${sandbox.id}`] as const] : []),
      ['remove it', `varve sandbox remove ${sandbox.id}`],
    ]).map((line) => `  ${line}`),
  ];
}

export function sandboxTable(sandboxes: readonly Sandbox[], now: Date): string[] {
  return tableLines(
    [
      { title: 'ID' },
      { title: 'APP' },
      { title: 'DATABASE' },
      { title: 'STATE' },
      { title: 'RECOVERED TO' },
      { title: 'MADE' },
      { title: 'WHERE' },
    ],
    sandboxes.map((sandbox) => [
      sandbox.id,
      sandbox.appId,
      sandbox.component,
      sandbox.state,
      sandbox.stoppedAt?.lastCommitAt ?? sandbox.stoppedAt?.lsn ?? '-',
      timeForPeople(sandbox.createdAt, now),
      sandbox.folder ?? sandbox.container ?? '-',
    ]),
  );
}
