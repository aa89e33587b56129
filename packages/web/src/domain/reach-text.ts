// What is said about the moments that can be reached and about the capture of the log, in the reader's language.

import type { DatabaseTimeline, WalCapture } from '@varve/contract';
import { problemTitle } from './problem-text.ts';
import type { Sentence, Wording } from './protection.ts';
import { latestReachable, oldestReachable, type Judgement } from './reachable.ts';

/** From here on down the repository has everything, for people. */
const currentMs = 2_000;

/** `Any second from … to …`, or what is still missing for it. */
export function reachSentence(database: DatabaseTimeline, { t, format }: Wording): Sentence {
  const from = oldestReachable(database);
  const to = latestReachable(database);
  if (from === null || to === null) {
    const key = database.timeline === null ? 'reach.nothingYet' : 'reach.noBase';
    return { light: database.captured ? 'warning' : 'idle', state: t('reach.none'), text: t(key) };
  }
  const between = t('reach.between', { from: format.dateTime(from), to: format.moment(to) });
  const gaps = database.gaps.filter(({ branch, fromAt }) => branch !== 'abandoned' && fromAt !== null);
  const text = gaps.length === 0 ? between : t('reach.withGaps', { text: between, count: gaps.length });
  const hasOpenGap = database.gaps.some(({ healedAt, branch }) => healedAt === null && branch === 'current');
  if (hasOpenGap) return { light: 'bad', state: t('reach.broken'), text: t('reach.brokenText', { text }) };
  return { light: 'ok', state: t('reach.any'), text };
}

/** Why a moment cannot be reached. */
export function judgementText(judged: Exclude<Judgement, { state: 'reachable' }>, { t }: Wording): string {
  switch (judged.state) {
    case 'gap':
      return t('reach.inGap', { reason: t(`gap.${judged.reason ?? 'block-missing'}`) });
    case 'waiting':
      return t('reach.inWaiting');
    case 'before':
      return t('reach.tooOld');
    case 'after':
      return t('reach.tooNew');
    case 'nothing':
      return t('reach.noBase');
  }
}

/** How the capture stands, in one sentence. */
export function captureSentence(capture: WalCapture, wording: Wording): Sentence {
  const { t, format, language, now } = wording;
  const problem = capture.commitProblem ?? capture.problem;
  const said = problem === null ? '' : language === 'en' ? problem.message : problemTitle(problem.code, t);
  const reason = said.replace(/[.\s]+$/, '');
  const facts = [lagText(capture, wording), archiveText(capture, wording), slotText(capture, wording)].filter(
    (text) => text !== '',
  );
  const withFacts = (text: string): string => [text, ...facts].join(' · ');
  if (capture.commitProblem !== null)
    return { light: 'bad', state: t('capture.state.notStored'), text: withFacts(t('capture.notStored', { reason })) };
  switch (capture.state) {
    case 'streaming':
      // Log comes through a folder, and the server itself does not answer.
      if (reason !== '') return { light: 'warning', state: t('capture.state.streaming'), text: withFacts(reason) };
      return { light: 'ok', state: t('capture.state.streaming'), text: facts.join(' · ') || t('capture.running') };
    case 'starting':
      return { light: 'idle', state: t('capture.state.starting'), text: t('capture.starting') };
    case 'reconnecting':
      return {
        light: 'warning',
        state: t('capture.state.reconnecting'),
        text: withFacts(t('capture.reconnecting', { ago: format.relative(capture.since, now), reason })),
      };
    case 'blocked':
      return { light: 'bad', state: t('capture.state.blocked'), text: withFacts(t('capture.blocked')) };
    case 'stopped':
      return { light: 'bad', state: t('capture.state.stopped'), text: withFacts(reason) };
    case 'off':
      return { light: 'warning', state: t('capture.state.off'), text: t('capture.off') };
  }
}

/** While log comes, as of the last news: what the page has not heard yet is no lag. */
function lagText({ completeAt, state, updatedAt }: WalCapture, { t, format, now }: Wording): string {
  if (completeAt === null) return '';
  const heardAt = state === 'streaming' ? Date.parse(updatedAt) : now;
  const lagMs = Math.max(0, heardAt - Date.parse(completeAt));
  if (lagMs < currentMs) return t('capture.current');
  return t('capture.lag', { time: format.duration(Math.round(lagMs / 1000) * 1000) });
}

/** The folder, and how late a quiet database's log may be. */
function archiveText({ archive }: WalCapture, { t, format }: Wording): string {
  if (archive === null) return '';
  const { directory, server } = archive;
  if (server === null) return t('archive.through', { directory });
  return server.timeoutSeconds === 0
    ? t('archive.throughNoTimeout', { directory })
    : t('archive.throughTimeout', { directory, time: format.duration(server.timeoutSeconds * 1000) });
}

function slotText({ slotFacts, slot }: WalCapture, { t, format }: Wording): string {
  if (slot === null || slotFacts === null || slotFacts.retainedBytes === null) return '';
  const kept = t('capture.slot', { slot, bytes: format.bytes(slotFacts.retainedBytes) });
  if (slotFacts.safeBytes === null)
    return slotFacts.keepLimitBytes === null ? t('capture.unlimited', { text: kept }) : kept;
  return t('capture.safe', { text: kept, bytes: format.bytes(Math.max(0, slotFacts.safeBytes)) });
}
