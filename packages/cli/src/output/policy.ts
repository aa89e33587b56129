// A policy as facts for people.

import type { Policy } from '@varve/contract';

export function policyFacts(policy: Policy): (readonly [name: string, value: string])[] {
  const { schedule, retention } = policy;
  const kept = [
    [retention.keepLast, 'last'],
    [retention.keepHourly, 'hourly'],
    [retention.keepDaily, 'daily'],
    [retention.keepWeekly, 'weekly'],
    [retention.keepMonthly, 'monthly'],
    [retention.keepYearly, 'yearly'],
  ] as const;
  return [
    ['Schedule', schedule.enabled ? `${schedule.cron} (${schedule.timeZone})` : 'off'],
    ['Consistency', policy.consistency],
    [
      'Keeps',
      kept
        .filter(([count]) => count > 0)
        .map(([count, name]) => `${count} ${name}`)
        .join(', '),
    ],
    [
      'Any second',
      `of the last ${policy.pointInTime.windowDays} days, stored every ${policy.pointInTime.commitSeconds} s (where the log is captured)`,
    ],
    ['Alert after', `${policy.alertAfterHours} h without a snapshot`],
  ];
}
