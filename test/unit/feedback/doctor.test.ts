import { describe, expect, it } from 'vitest';
import { diagnoseFeedback } from '../../../coordinator/feedback/diagnose-feedback.js';
import { DeliveryHealth } from '../../../coordinator/feedback/health.js';

const now = 1_000_000_000;
const mail = { lane: 'mail', target: 'mail:a@b' };
const say = (health: DeliveryHealth, { hasMail = true, projects = 1 } = {}): readonly string[] =>
  diagnoseFeedback({ health, hasMail, projects, now }).map(
    ({ name, level, message }) => `${level} ${name}: ${message}`,
  );

describe('doctor', () => {
  it('says that mail is off, once there is a project', () => {
    expect(say(new DeliveryHealth(), { hasMail: false, projects: 0 })).toEqual([]);
    expect(say(new DeliveryHealth(), { hasMail: false })[0]).toMatch(/^warning mail: no --smtp is given/);
    expect(say(new DeliveryHealth())).toEqual(['ok mail: no mail was due since the start']);
  });

  it('says since when a target is dead, and why', () => {
    const health = new DeliveryHealth();
    health.saw(mail, { kind: 'delivered', message: 'ok' }, now - 600_000);
    health.saw(mail, { kind: 'failed', message: 'refused' }, now - 60_000);
    health.saw(mail, { kind: 'failed', message: 'connect ECONNREFUSED' }, now);
    expect(say(health)).toEqual([
      'warning mail: nothing gets through since 60 s ago (2 tries, last success 10 min ago): connect ECONNREFUSED',
    ]);
    health.saw(mail, { kind: 'delivered', message: 'ok' }, now);
    expect(say(health)).toEqual(['ok mail: last success 0 s ago']);
  });

  it('says who will not be told, until they are', () => {
    const health = new DeliveryHealth();
    health.saw(mail, { kind: 'refused', message: '550 no such user' }, now);
    health.saw({ ...mail, target: 'mail:c@d' }, { kind: 'delivered', message: 'ok' }, now);
    expect(say(health)).toEqual(['warning mail: mail:a@b was not told 0 s ago: 550 no such user']);
    health.saw(mail, { kind: 'delivered', message: 'ok' }, now);
    expect(say(health)).toEqual(['ok mail: last success 0 s ago']);
  });

  it('keeps a bounded number of targets', () => {
    const health = new DeliveryHealth();
    for (let n = 0; n < 2_000; n++) {
      health.saw({ lane: `webhook ${n} of x`, target: 'w' }, { kind: 'failed', message: 'no' }, now);
      health.saw({ lane: 'mail', target: `mail:${n}@x` }, { kind: 'refused', message: 'no' }, now);
    }
    expect(health.lanes().length).toBeLessThanOrEqual(500);
    expect(health.lanes()[0]?.refused.length).toBeLessThanOrEqual(20);
  });
});
