//! The report, for people.

use std::fmt::{self, Display};

use super::{Report, Verdict};
use crate::certs::{End, Judgement, Presented, Role, Severity, Signer};

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.dialogue(f)?;
        if let Some(tls) = &self.tls {
            writeln!(f, "\nTLS")?;
            writeln!(f, "  version       {}", tls.version)?;
            writeln!(f, "  suite         {}", tls.suite)?;
            writeln!(f, "  key exchange  {}", tls.key_exchange.as_deref().unwrap_or("unknown"))?;
            let alpn = match (&tls.alpn, tls.alpn_offered.join(", ")) {
                (Some(id), _) => id.clone(),
                (None, offered) if offered.is_empty() => "not offered".to_owned(),
                (None, offered) => format!("none ({offered} offered)"),
            };
            writeln!(f, "  ALPN          {alpn}")?;
        }
        if let Some(chain) = &self.chain {
            certificates(f, chain)?;
        }
        match &self.injection {
            Some(Verdict::Safe(text)) => writeln!(f, "\nSTARTTLS injection\n  safe: {text}")?,
            Some(Verdict::Untold(text)) => writeln!(f, "\nSTARTTLS injection\n  unknown: {text}")?,
            Some(Verdict::Vulnerable(_)) => writeln!(f, "\nSTARTTLS injection\n  VULNERABLE")?,
            None => {}
        }
        self.findings(f)
    }
}

impl Report {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{host}:{}", self.port)?;
        if let Some(address) = self.address.filter(|address| address.ip().to_string() != self.host)
        {
            write!(f, " at {}", address.ip())?;
        }
        match self.starttls {
            Some(protocol) => write!(f, ", TLS by STARTTLS ({protocol})")?,
            None => write!(f, ", TLS from the start")?,
        }
        writeln!(f, ", for {}", self.asked)
    }

    fn dialogue(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut inside = None;
        for line in &self.dialogue {
            if inside != Some(line.tls) {
                writeln!(f, "\nDialogue {}", if line.tls { "inside TLS" } else { "in clear" })?;
                inside = Some(line.tls);
            }
            writeln!(f, "  {}: {}", line.from, line.text)?;
        }
        Ok(())
    }

    fn findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            return writeln!(f, "\nAll is well.");
        }
        writeln!(f, "\nFindings")?;
        for finding in &self.findings {
            let code = finding.code.map(|code| format!("{code}: ")).unwrap_or_default();
            writeln!(f, "  {:<8} {code}{}", finding.severity.to_string(), finding.text)?;
        }
        if self.worst() == Some(Severity::Note) {
            writeln!(f, "\nAll is well.")?;
        }
        Ok(())
    }
}

fn certificates(f: &mut fmt::Formatter<'_>, chain: &Judgement) -> fmt::Result {
    writeln!(f, "\nCertificates, as sent")?;
    for certificate in &chain.certificates {
        one(f, certificate)?;
    }
    write!(f, "  chain   {}", sequence(chain))?;
    match &chain.end {
        End::Trusted { root } => writeln!(f, " -> {root}, trusted here")?,
        End::Private { root, .. } => writeln!(f, " -> {root}, a private authority")?,
        End::SelfSigned => writeln!(f, ", self-signed")?,
        End::Missing { issuer, .. } => writeln!(f, " -> {issuer}, which was not sent")?,
        End::Broken { issuer, .. } => writeln!(f, " -> {issuer}, by a wrong signature")?,
        End::Unreadable => writeln!(f, ": the first certificate cannot be read")?,
    }
    match &chain.name.covered_by {
        Some(name) if *name == chain.name.asked => writeln!(f, "  name    {name} is covered"),
        Some(name) => writeln!(f, "  name    {} is covered by {name}", chain.name.asked),
        None => writeln!(f, "  name    {} is NOT covered", chain.name.asked),
    }
}

fn one(f: &mut fmt::Formatter<'_>, certificate: &Presented) -> fmt::Result {
    let role = match certificate.role {
        Role::Alternative => "alternative".to_owned(),
        Role::Duplicate { of } => format!("the same as #{of}"),
        Role::Intermediate => "intermediate".to_owned(),
        Role::Leaf => "leaf".to_owned(),
        Role::Root => "root".to_owned(),
        Role::Unrelated => "unrelated".to_owned(),
        Role::Unreadable => return writeln!(f, "  #{} cannot be read", certificate.position),
    };
    let signer = match certificate.signer {
        Signer::Itself => "itself".to_owned(),
        Signer::Sent { position, verified: true } => format!("#{position}, verified"),
        Signer::Sent { position, verified: false } => {
            format!("#{position}, by its name; the algorithm is not known here")
        }
        Signer::Trusted => "a root that is trusted here, verified".to_owned(),
        Signer::Unknown => "somebody who was not sent".to_owned(),
        Signer::Wrong => "another key than its issuer's: WRONG".to_owned(),
    };
    let left = match certificate.days_left {
        days @ ..0 => format!("EXPIRED {} days ago", -days),
        days => format!("{days} days left"),
    };
    writeln!(f, "  #{} {} ({role})", certificate.position, certificate.subject)?;
    if certificate.role == Role::Leaf {
        writeln!(f, "     names   {}", certificate.names.join(", "))?;
    }
    writeln!(f, "     issuer  {}", certificate.issuer)?;
    writeln!(f, "     signed  by {signer} ({})", certificate.signature)?;
    writeln!(f, "     key     {}", certificate.key)?;
    writeln!(f, "     valid   {} to {}, {left}", certificate.not_before, certificate.not_after)
}

fn sequence(chain: &Judgement) -> String {
    let places: Vec<String> = chain.path.iter().map(|n| format!("#{n}")).collect();
    places.join(" -> ")
}
