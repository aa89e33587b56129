// The plan that a restore was started with, kept for the page that watches it; lost with the tab, which costs only comfort.

import { restorePlanSchema } from '@varve/contract';
import type { RestorePlan } from '@varve/contract';

const keyOf = (jobId: string): string => `varve.plan.${jobId}`;

export function rememberPlan(jobId: string, plan: RestorePlan): void {
  try {
    sessionStorage.setItem(keyOf(jobId), JSON.stringify(plan));
  } catch {
    // Storage may be full or forbidden: the job page then shows the log without the list of steps.
  }
}

export function rememberedPlan(jobId: string): RestorePlan | undefined {
  try {
    const parsed = restorePlanSchema.safeParse(JSON.parse(sessionStorage.getItem(keyOf(jobId)) ?? 'null'));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
