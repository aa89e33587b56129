// Options that set parts of a policy, shared by `app add` and `app policy`.

import type { PolicyInput } from '@varve/contract';
import { Option, type Command } from 'commander';
import { wholeNumber } from './numbers.ts';

interface PolicyOptions {
  readonly schedule?: string | false;
  readonly timeZone?: string;
  readonly consistency?: NonNullable<PolicyInput['consistency']>;
  readonly keepLast?: number;
  readonly keepHourly?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly keepYearly?: number;
  readonly windowDays?: number;
  readonly commitSeconds?: number;
  readonly alertAfterHours?: number;
}

const group = 'Policy options:';
const keepCounts = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;

/** Adds the options to a command. */
export function addPolicyOptions(command: Command): void {
  const add = (option: Option): Command => command.addOption(option.helpGroup(group));
  add(new Option('--schedule <cron>', 'when to take snapshots: a cron expression with five fields'));
  add(new Option('--no-schedule', 'take no snapshots by itself'));
  add(new Option('--time-zone <zone>', 'zone of the schedule, e.g. Europe/Madrid'));
  add(
    new Option('--consistency <mode>', "what happens to the app's other containers meanwhile").choices([
      'live',
      'pause',
      'stop',
    ]),
  );
  for (const name of keepCounts) {
    add(
      new Option(`--keep-${name} <n>`, `how many ${name} snapshots to keep`).argParser(
        wholeNumber({ min: 0, max: 10_000 }),
      ),
    );
  }
  add(
    new Option('--window-days <n>', 'any second of so many days is kept reachable').argParser(
      wholeNumber({ min: 1, max: 3650 }),
    ),
  );
  add(
    new Option('--commit-seconds <n>', 'how far the repository may lag behind the captured log').argParser(
      wholeNumber({ min: 1, max: 3600 }),
    ),
  );
  add(
    new Option('--alert-after-hours <n>', 'hours without a snapshot before an alert').argParser(
      wholeNumber({ min: 1, max: 8760 }),
    ),
  );
}

/** `base` with what the options say; undefined when they say nothing. */
export function policyFromOptions(command: Command, base: PolicyInput): PolicyInput | undefined {
  const options = command.opts<PolicyOptions>();
  // `--no-schedule` makes commander set `schedule` to true when neither is given.
  const schedule = command.getOptionValueSource('schedule') === 'cli' ? options.schedule : undefined;
  const changesSchedule = schedule !== undefined || options.timeZone !== undefined;
  const retention = definedEntries({
    keepLast: options.keepLast,
    keepHourly: options.keepHourly,
    keepDaily: options.keepDaily,
    keepWeekly: options.keepWeekly,
    keepMonthly: options.keepMonthly,
    keepYearly: options.keepYearly,
  });
  const pointInTime = definedEntries({ windowDays: options.windowDays, commitSeconds: options.commitSeconds });
  const isUnchanged =
    !changesSchedule &&
    Object.keys(retention).length === 0 &&
    Object.keys(pointInTime).length === 0 &&
    options.consistency === undefined &&
    options.alertAfterHours === undefined;
  if (isUnchanged) return undefined;
  return {
    ...base,
    schedule: {
      ...base.schedule,
      ...(schedule === undefined ? {} : { enabled: schedule !== false }),
      ...(typeof schedule === 'string' ? { cron: schedule } : {}),
      ...(options.timeZone === undefined ? {} : { timeZone: options.timeZone }),
    },
    retention: { ...base.retention, ...retention },
    pointInTime: { ...base.pointInTime, ...pointInTime },
    ...(options.consistency === undefined ? {} : { consistency: options.consistency }),
    ...(options.alertAfterHours === undefined ? {} : { alertAfterHours: options.alertAfterHours }),
  };
}

function definedEntries<T extends object>(record: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const entries = Object.entries(record).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: NonNullable<T[K]> };
}
