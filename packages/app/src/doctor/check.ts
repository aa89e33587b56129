// One check of doctor: what it found, or that it threw.

import { isAppError, messageOf } from '@varve/base';
import type { DoctorCheck } from '@varve/contract';

/** What a check found; its name is added. */
export type Finding = Omit<DoctorCheck, 'name' | 'hint'> & { readonly hint?: string };

/** Runs a check; a throw is a failed check, never the end of the others. */
export async function checked(name: string, look: () => Promise<Finding> | Finding): Promise<DoctorCheck> {
  try {
    const { hint, ...finding } = await look();
    return { name, ...finding, hint: hint ?? null };
  } catch (error) {
    return { name, state: 'failed', message: messageOf(error), hint: (isAppError(error) && error.hint) || null };
  }
}
