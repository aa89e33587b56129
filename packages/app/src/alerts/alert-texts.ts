// What alerts say, in English and Spanish: a headline, which is also the subject of an e-mail, and the e-mail's text.

import type { EmailSettings, JobType } from '@varve/contract';
import type { AlertCode, AlertFacts } from './wanted-alert.ts';

export type Language = EmailSettings['language'];

interface Texts {
  readonly jobFailed: Readonly<Record<JobType, (app: string) => string>>;
  readonly noBackup: (app: string) => string;
  readonly backupLate: (app: string, hours: number) => string;
  readonly snapshotPartial: (app: string) => string;
  readonly walStopped: (app: string, database: string) => string;
  readonly walLag: (app: string, database: string, minutes: number) => string;
  readonly walGap: (app: string, database: string) => string;
  readonly walSlot: (app: string, database: string) => string;
  readonly solved: (headline: string) => string;
  readonly advice: Readonly<Record<AlertCode, string>>;
  readonly solvedAdvice: string;
  readonly reason: string;
  readonly hint: string;
  readonly affected: string;
  readonly since: Readonly<Record<AlertCode, string>>;
  readonly host: string;
  readonly testSubject: string;
  readonly testBody: string;
  readonly locale: string;
}

const english: Texts = {
  jobFailed: {
    snapshot: (app) => `The snapshot of ${app} failed`,
    restore: (app) => `The restore of ${app} failed`,
    forget: (app) => `Old snapshots of ${app} could not be removed`,
    check: () => 'The check of the repository failed',
    prune: () => 'Unused space of the repository could not be given back',
    recovery: (app) => `The recovery of ${app} to a point in time failed`,
    verify: (app) => `The database of ${app} could not be proven to be recoverable`,
  },
  noBackup: (app) => `${app} has no backup yet`,
  backupLate: (app, hours) => `${app} has had no backup for more than ${hours} hours`,
  snapshotPartial: (app) => `The last snapshot of ${app} is missing files`,
  walStopped: (app, database) => `The log of the database ${database} of ${app} is not captured`,
  walLag: (app, database, minutes) =>
    `The repository is more than ${minutes} minutes behind the database ${database} of ${app}`,
  walGap: (app, database) => `Log of the database ${database} of ${app} is missing`,
  walSlot: (app, database) => `The server of the database ${database} of ${app} keeps too much log`,
  solved: (headline) => `Solved: ${headline}`,
  advice: {
    'job-failed': 'Open the job in Varve to see its log.',
    'no-backup':
      'The app was added, but no snapshot of it has succeeded. Take one with "Snapshot now" and look at the result.',
    'backup-late': 'Is Varve running, and is the schedule switched on? Take a snapshot now and look at the result.',
    'snapshot-partial':
      'Some files could not be read. The snapshot holds everything else; its job lists what is missing.',
    'wal-stopped':
      'Until it is captured again, the database cannot be brought back to a moment from now on; its server keeps the log meanwhile. Is it running, and can Varve reach it? It is tried again by itself.',
    'wal-lag':
      'What is captured is safe on this host, but not yet in the repository. Can the repository be reached, and has it room?',
    'wal-gap':
      'The database cannot be brought back to a moment within the gap, nor to one after it until there is a new base backup. One is started by itself when the database is saved by base backups; if not, take a snapshot with one.',
    'wal-slot':
      'Log that is not fetched fills the disk of the server, or is removed and leaves a gap. Look whether the capture runs and how far it is: varve wal status.',
  },
  solvedAdvice: 'The reason for this alert is gone. There is nothing to do.',
  reason: 'Reason',
  hint: 'What to do',
  affected: 'Files that damage has reached (the job lists them all)',
  since: {
    'job-failed': 'Failed at',
    'no-backup': 'Added at',
    'backup-late': 'Last backup',
    'snapshot-partial': 'Snapshot of',
    'wal-stopped': 'Since',
    'wal-lag': 'Complete until',
    'wal-gap': 'Found at',
    'wal-slot': 'Since',
  },
  host: 'Host',
  testSubject: 'Test message',
  testBody: 'Varve can send e-mail. Alerts about your backups will arrive at this address.',
  locale: 'en-GB',
};

const spanish: Texts = {
  jobFailed: {
    snapshot: (app) => `La instantánea de ${app} ha fallado`,
    restore: (app) => `La restauración de ${app} ha fallado`,
    forget: (app) => `No se han podido eliminar las instantáneas antiguas de ${app}`,
    check: () => 'La comprobación del repositorio ha fallado',
    prune: () => 'No se ha podido liberar el espacio sin uso del repositorio',
    recovery: (app) => `La recuperación de ${app} a un momento ha fallado`,
    verify: (app) => `No se ha podido demostrar que la base de datos de ${app} es recuperable`,
  },
  noBackup: (app) => `${app} todavía no tiene ninguna copia de seguridad`,
  backupLate: (app, hours) => `${app} lleva más de ${hours} horas sin copia de seguridad`,
  snapshotPartial: (app) => `A la última instantánea de ${app} le faltan archivos`,
  walStopped: (app, database) => `No se captura el registro de la base de datos ${database} de ${app}`,
  walLag: (app, database, minutes) =>
    `El repositorio lleva más de ${minutes} minutos de retraso respecto a la base de datos ${database} de ${app}`,
  walGap: (app, database) => `Falta registro de la base de datos ${database} de ${app}`,
  walSlot: (app, database) => `El servidor de la base de datos ${database} de ${app} guarda demasiado registro`,
  solved: (headline) => `Resuelto: ${headline}`,
  advice: {
    'job-failed': 'Abra la tarea en Varve para ver su registro.',
    'no-backup':
      'La aplicación está añadida, pero ninguna instantánea suya ha terminado bien. Haga una con «Instantánea ahora» y mire el resultado.',
    'backup-late': '¿Está Varve en marcha y la programación activada? Haga una instantánea ahora y mire el resultado.',
    'snapshot-partial':
      'Algunos archivos no se pudieron leer. La instantánea contiene todo lo demás; su tarea indica qué falta.',
    'wal-stopped':
      'Hasta que se vuelva a capturar, la base de datos no se puede recuperar a un momento posterior a este; mientras tanto, su servidor guarda el registro. ¿Está en marcha y puede Varve llegar a él? Se vuelve a intentar automáticamente.',
    'wal-lag':
      'Lo capturado está a salvo en este equipo, pero todavía no en el repositorio. ¿Se puede acceder al repositorio y tiene espacio?',
    'wal-gap':
      'La base de datos no se puede recuperar a un momento dentro del hueco, ni a uno posterior hasta que haya una nueva copia base. Se inicia automáticamente cuando la base de datos se guarda con copias base; si no, haga una instantánea que la incluya.',
    'wal-slot':
      'El registro que no se recoge llena el disco del servidor, o se elimina y deja un hueco. Mire si la captura funciona y hasta dónde ha llegado: varve wal status.',
  },
  solvedAdvice: 'El motivo de esta alerta ha desaparecido. No hay que hacer nada.',
  reason: 'Motivo',
  hint: 'Qué hacer',
  affected: 'Archivos a los que alcanza el daño (la tarea los indica todos)',
  since: {
    'job-failed': 'Falló el',
    'no-backup': 'Añadida el',
    'backup-late': 'Última copia',
    'snapshot-partial': 'Instantánea del',
    'wal-stopped': 'Desde el',
    'wal-lag': 'Completo hasta el',
    'wal-gap': 'Detectado el',
    'wal-slot': 'Desde el',
  },
  host: 'Servidor',
  testSubject: 'Mensaje de prueba',
  testBody: 'Varve puede enviar correo. Las alertas sobre sus copias de seguridad llegarán a esta dirección.',
  locale: 'es-ES',
};

const texts: Readonly<Record<Language, Texts>> = { en: english, es: spanish };

export interface AlertText {
  readonly code: AlertCode;
  readonly facts: AlertFacts;
  readonly language: Language;
}

export interface Letter {
  readonly subject: string;
  readonly body: string;
}

/** The alert in one line, without the reason of a failure. */
export function headlineOf({ code, facts, language }: AlertText): string {
  const text = texts[language];
  const app = facts.appName ?? 'Varve';
  switch (code) {
    case 'job-failed':
      return text.jobFailed[facts.jobType ?? 'snapshot'](app);
    case 'no-backup':
      return text.noBackup(app);
    case 'backup-late':
      return text.backupLate(app, facts.limitHours ?? 24);
    case 'snapshot-partial':
      return text.snapshotPartial(app);
    case 'wal-stopped':
      return text.walStopped(app, facts.component ?? '');
    case 'wal-lag':
      return text.walLag(app, facts.component ?? '', facts.limitMinutes ?? 0);
    case 'wal-gap':
      return text.walGap(app, facts.component ?? '');
    case 'wal-slot':
      return text.walSlot(app, facts.component ?? '');
  }
}

/** The alert in one line as lists show it: in English, with the reason of a failure. */
export function messageOfAlert(alert: Omit<AlertText, 'language'>): string {
  const headline = headlineOf({ ...alert, language: 'en' });
  const { errorMessage } = alert.facts;
  return errorMessage === undefined ? `${headline}.` : `${headline}: ${errorMessage}`;
}

function dateText(time: string, locale: string): string {
  return new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' }).format(
    new Date(time),
  );
}

/** One line for a header: no line breaks, not endless. */
function subjectLine(headline: string): string {
  return `[Varve] ${headline.replaceAll(/\s+/g, ' ').slice(0, 180)}`;
}

/** The e-mail about an alert that opened, or closed. The subject holds no error text, only names. */
export function letterOf(alert: AlertText & { readonly isSolved: boolean; readonly hostName: string }): Letter {
  const text = texts[alert.language];
  const { code, facts } = alert;
  const headline = headlineOf(alert);
  const shown = alert.isSolved ? text.solved(headline) : headline;
  const lines = [
    `${shown}.`,
    '',
    ...(facts.since === undefined ? [] : [`${text.since[code]}: ${dateText(facts.since, text.locale)} UTC`]),
    ...(facts.errorMessage === undefined || alert.isSolved ? [] : [`${text.reason}: ${facts.errorMessage}`]),
    ...(facts.hint === undefined || alert.isSolved ? [] : [`${text.hint}: ${facts.hint}`]),
    ...(facts.affected === undefined || alert.isSolved
      ? []
      : ['', `${text.affected}:`, ...facts.affected.map((path) => `- ${path}`), '']),
    `${text.host}: ${alert.hostName}`,
    '',
    alert.isSolved ? text.solvedAdvice : text.advice[code],
  ];
  return { subject: subjectLine(shown), body: `${lines.join('\n')}\n` };
}

/** The e-mail that shows that e-mail works. */
export function testLetter(language: Language, hostName: string): Letter {
  const text = texts[language];
  return { subject: subjectLine(text.testSubject), body: `${text.testBody}\n\n${text.host}: ${hostName}\n` };
}
