// A restore plan in words.

import { formatBytes } from '@varve/base';
import type { AppSnapshot, RestorePlan, RestoreStep } from '@varve/contract';
import type { TextOutput } from '../io.ts';
import { counted, printable, styled } from './text.ts';
import { timeForPeople } from './time.ts';

/** Numbered steps, then the warnings. */
export function planLines(
  plan: RestorePlan,
  options: { readonly snapshot: AppSnapshot; readonly now: Date; readonly output: TextOutput },
): string[] {
  const { kind, name } = options.snapshot;
  const what = name === null ? kind : `${kind}, “${printable(name)}”`;
  const when = timeForPeople(plan.snapshotTime, options.now);
  return [
    `Restore ${plan.appId} to snapshot ${plan.snapshotId.slice(0, 8)} (${what}), taken ${when}:`,
    ...plan.steps.map((step, index) => `  ${String(index + 1).padStart(2)}. ${printable(stepText(step))}`),
    `${formatBytes(plan.bytes)}, ${counted(plan.files, 'file')}.`,
    ...plan.warnings.map(
      (warning) => `${styled(options.output, ['yellow', 'bold'], 'warning:')} ${printable(warning.message)}`,
    ),
  ];
}

function stepText(step: RestoreStep): string {
  switch (step.type) {
    case 'safety-snapshot':
      return 'Take a safety snapshot of the present state';
    case 'stop-containers':
      return `Stop the containers ${step.containers.join(', ')}`;
    case 'run-stop-command':
      return `Run the stop command: ${step.command}`;
    case 'stop-database':
      return `Stop the database ${step.component} (${step.dataDirectory})`;
    case 'restore-volume': {
      const how = step.recreate ? 'Make anew and fill' : 'Put back the files of';
      return `${how} ${step.component} in ${step.target} (${counted(step.files, 'file')}, ${formatBytes(step.bytes)})`;
    }
    case 'restore-code': {
      const from = step.fromCommit === null ? '' : ` from ${step.fromCommit.slice(0, 8)}`;
      const to = step.toCommit === null ? '' : ` to ${step.toCommit.slice(0, 8)}`;
      const changes = step.withLocalChanges ? ', with the local changes of that time' : '';
      return `Put the code ${step.component} in ${step.target} back${from}${to}${changes}`;
    }
    case 'start-database':
      return `Start the database ${step.component}${step.containers.length === 0 ? '' : ` (${step.containers.join(', ')})`}`;
    case 'restore-database': {
      const what = step.method === 'base' ? 'the cluster' : 'the databases';
      return `Put back ${what} ${step.databases.join(', ')} of ${step.component} (${formatBytes(step.bytes)})`;
    }
    case 'start-containers':
      return `Start the containers ${step.containers.join(', ')}`;
    case 'run-start-command':
      return `Run the start command: ${step.command}`;
    case 'wait-healthy':
      return `Wait until ${step.containers.join(', ')} answer`;
  }
}
