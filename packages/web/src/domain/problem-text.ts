// Problems in the reader's language: a title by code, the server's own words as the detail, and what to do. The server
// writes English; where we know the code, the title and the remedy are ours in both languages.

import type { MessageKey, Translate } from '../i18n/messages.ts';
import { messagesByLanguage } from '../i18n/translate.ts';
import type { Language } from '../i18n/translate.ts';

interface ProblemLike {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

export interface ProblemText {
  readonly title: string;
  readonly detail: string | null;
  readonly hint: string | null;
  readonly code: string | null;
}

function isProblemLike(problem: unknown): problem is ProblemLike {
  return (
    typeof problem === 'object' && problem !== null && 'code' in problem && 'message' in problem && 'hint' in problem
  );
}

/** Title, detail and remedy of a failure of any kind. */
export function describeProblem(problem: unknown, t: Translate, language: Language): ProblemText {
  if (!isProblemLike(problem)) {
    const detail = problem instanceof Error ? problem.message : String(problem);
    return { title: t('error.title'), detail, hint: null, code: null };
  }
  const ownHint = textFor(`problem.hint.${problem.code}`, t);
  const hint = language === 'en' ? (problem.hint ?? ownHint) : (ownHint ?? problem.hint);
  return {
    title: problemTitle(problem.code, t),
    detail: problem.code === 'NETWORK' ? null : problem.message,
    hint,
    code: problem.code,
  };
}

/** The title by code, else by the code's area, else a general one. */
export function problemTitle(code: string, t: Translate): string {
  const area = code.split('_')[0] ?? code;
  return textFor(`problem.${code}`, t) ?? textFor(`problem.${area}`, t) ?? t('error.title');
}

function textFor(key: string, t: Translate): string | null {
  return key in messagesByLanguage.en ? t(key as MessageKey as 'error.title') : null;
}
